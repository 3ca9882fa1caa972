"""collector.replays: the same bytes are stored once, and every caller hears what became of them."""

from __future__ import annotations

import asyncio

import pytest

from spanledger.collector import replays
from spanledger.collector.replays import Replays
from spanledger.schemas.errors import Busy


class Work:
    """Counts how often it is done; waits until it may end, and fails as often as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        self.done = 0
        self.failures = failures
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        await self.may_end.wait()
        self.done += 1
        if self.done <= self.failures:
            raise Busy("not now")
        return self.done


def test_the_same_request_again_is_answered_from_memory():
    async def run():
        work, memory = Work(), Replays(60)
        work.may_end.set()
        return [await memory.once("p", b"body", work) for _ in range(3)]

    assert asyncio.run(run()) == [(1, False), (1, True), (1, True)]


def test_the_same_bytes_in_another_project_are_another_request():
    async def run():
        work, memory = Work(), Replays(60)
        work.may_end.set()
        return [await memory.once(project, b"body", work) for project in ("a", "b")]

    assert asyncio.run(run()) == [(1, False), (2, False)]


def test_the_same_request_while_the_first_is_stored_waits_for_that():
    async def run():
        work, memory = Work(), Replays(60)
        calls = [asyncio.create_task(memory.once("p", b"body", work)) for _ in range(5)]
        await asyncio.sleep(0)
        work.may_end.set()
        return await asyncio.gather(*calls)

    assert asyncio.run(run()) == [(1, False), *[(1, True)] * 4]


def test_a_failure_reaches_everybody_who_waits_and_is_not_remembered():
    async def run():
        work, memory = Work(failures=1), Replays(60)
        calls = [asyncio.create_task(memory.once("p", b"body", work)) for _ in range(3)]
        await asyncio.sleep(0)
        work.may_end.set()
        failed = await asyncio.gather(*calls, return_exceptions=True)
        return failed, await memory.once("p", b"body", work)

    failed, later = asyncio.run(run())
    assert [str(error) for error in failed] == ["not now"] * 3
    assert later == (2, False)


def test_a_caller_who_goes_away_takes_nobodys_answer_along():
    async def run():
        work, memory = Work(), Replays(60)
        first, second = (asyncio.create_task(memory.once("p", b"body", work)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        work.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(run()) == (1, True)


@pytest.mark.parametrize("window_s", [0, 1e-9])
def test_after_the_window_or_without_one_a_request_is_new(window_s):
    async def run():
        work, memory = Work(), Replays(window_s)
        work.may_end.set()
        first = await memory.once("p", b"body", work)
        await asyncio.sleep(0.01)
        return first, await memory.once("p", b"body", work)

    assert asyncio.run(run()) == ((1, False), (2, False))


def test_only_so_many_requests_are_remembered(monkeypatch):
    monkeypatch.setattr(replays, "_MOST", 3)

    async def run():
        work, memory = Work(), Replays(60)
        work.may_end.set()
        for n in range(10):
            await memory.once("p", b"%d" % n, work)
        return (
            len(memory._stored),
            (await memory.once("p", b"9", work))[1],
            (await memory.once("p", b"0", work))[1],
        )

    held, newest, oldest = asyncio.run(run())
    assert held <= 4
    assert (newest, oldest) == (True, False)
