"""Turns: no project keeps the others from the database, however much it asks."""

from __future__ import annotations

import asyncio

from spanledger.query_api.turns import ASKING, Turns


async def asks(turns, who, order):
    """A request of a project; it says in `order` that it has its turn, and keeps it."""
    ASKING.set(who)
    order.append(await turns.take())


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


def told(*steps, size):
    """Who had a turn in which order: each step is who asks, or of whom a turn comes back (`-name`)."""

    async def inside():
        turns, order, asking = Turns(size), [], []
        for step in steps:
            if step.startswith("-"):
                turns.give(step[1:])
            else:
                asking.append(asyncio.create_task(asks(turns, step, order)))
            await settled()
        for task in asking:
            task.cancel()
        return "".join(order)

    return asyncio.run(inside())


def test_who_is_alone_has_every_turn_and_the_others_wait_in_their_order():
    assert told("a", "a", "a", size=2) == "aa"
    assert told("a", "a", "a", "-a", size=2) == "aaa"


def test_who_has_none_is_next_however_many_wait_before():
    assert told("a", "a", "a", "a", "b", "-a", size=2) == "aab"
    assert told("a", "a", "a", "b", "c", "-a", "-b", "-c", size=1) == "abca"


def test_while_others_ask_none_has_every_turn():
    """What is left is for them: they need not wait for a query of half a minute."""
    assert told("a", "a", "b", "a", "-a", "-b", size=2) == "aab"
    assert told("a", "a", "b", "-a", "-b", "a", "b", size=2) == "aabb"
    assert told("b", "-b", "a", "a", "a", "b", size=3) == "baab"


def test_who_gives_up_waiting_leaves_his_place_and_loses_no_turn():
    async def inside():
        turns, order = Turns(1), []
        first = asyncio.create_task(asks(turns, "a", order))
        waits = asyncio.create_task(asks(turns, "b", order))
        await settled()
        waits.cancel()
        await settled()
        assert first.done()
        late = asyncio.create_task(asks(turns, "c", order))
        await settled()
        turns.give("a")
        late.cancel()  # as its turn comes
        await settled()
        await asks(turns, "d", order)
        return order

    assert asyncio.run(inside()) == ["a", "d"]
