"""Readers: the database may be away or slow; the API says so, stays alive and recovers by itself."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from spanledger.query_api import readers as readers_module
from spanledger.query_api.readers import Readers, Writer
from spanledger.schemas.database import parse_target
from spanledger.schemas.errors import Busy

TRACE = "/api/v1/traces/" + "0" * 32


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(target, work, **options):
    """What `work(readers)` returns, in a loop of its own."""

    async def inside():
        readers = Readers(target, **options)
        try:
            return await work(readers)
        finally:
            readers.close()

    return asyncio.run(inside())


def test_without_a_database_the_api_is_alive_not_ready_and_says_503(make_api):
    target = parse_target(f"clickhouse://someone:hidden@127.0.0.1:{unused_port()}/spanledger")
    api = make_api(to=target, api_key="the-root-key")
    api.headers["Authorization"] = "Bearer the-root-key"
    assert api.get("/healthz").json() == {"status": "ok"}
    for path in ("/readyz", "/api/v1/traces", TRACE):
        answer = api.get(path)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["title"] == "Unavailable"
        for secret in ("hidden", "someone", "127.0.0.1", str(target.port)):
            assert secret not in answer.text
    assert api.get("/metrics").status_code == 200
    assert api.get("/api/v1/traces?limit=0").status_code == 400


def test_when_the_database_comes_back_so_does_the_api(api, monkeypatch):
    def away(_):
        raise Busy("clickhouse://someone@db:8123/x does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(readers_module, "connect_reader", away)
        assert api.get("/readyz").status_code == 503
        assert api.get("/api/v1/traces").status_code == 503
    assert api.get("/readyz").json() == {"status": "ready"}
    assert api.get("/api/v1/traces").status_code == 200


def test_a_silent_database_costs_one_request_its_deadline_and_health_nothing(make_api, monkeypatch):
    monkeypatch.setattr(readers_module, "_CONNECT_S", 1)
    monkeypatch.setattr(readers_module, "_SOCKET_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = make_api(to=parse_target(f"clickhouse://127.0.0.1:{silent.getsockname()[1]}/spanledger"))
        started = time.monotonic()
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
        assert time.monotonic() - started < 8


def test_a_client_whose_connection_fails_is_thrown_away(target):
    async def work(readers):
        clients = []

        def lost(client):
            clients.append(client)
            raise OSError("connection reset")

        with pytest.raises(Busy, match="does not answer"):
            await readers.run(lost)
        await readers.run(clients.append)
        return clients

    first, second = run(target, work, size=1)
    assert first is not second


def test_an_iterator_that_ends_too_early_is_an_error_and_no_endless_wait(target):
    async def work(readers):
        with pytest.raises(RuntimeError, match="ended too early"):
            await readers.run(lambda _: next(iter(())), deadline_s=5)
        return await readers.run(lambda _: "served")

    assert run(target, work, size=1) == "served"


def test_a_query_over_a_limit_is_busy_and_its_client_is_not_used_again(target):
    async def work(readers):
        clients = []

        def greedy(client):
            clients.append(client)
            client.query("SELECT number FROM numbers(1100000)")

        with pytest.raises(Busy, match="ask for less"):
            await readers.run(greedy)
        await readers.run(clients.append)
        return clients

    first, second = run(target, work, size=1)
    assert first is not second


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE spans",
        "INSERT INTO migrations (name) VALUES ('x')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT 1; DROP TABLE spans",
        "SET readonly = 0",
    ],
)
def test_a_reader_cannot_write_or_reach_out(target, sql):
    async def work(readers):
        return await readers.run(lambda client: client.command(sql))

    with pytest.raises(Busy) as refused:
        run(target, work)
    assert isinstance(refused.value.__cause__, DatabaseError)


def test_work_runs_beside_the_event_loop_and_each_client_serves_one_call(target):
    async def work(readers):
        lock, together, most = threading.Lock(), set(), []

        def slow(client):
            with lock:
                assert client not in together
                together.add(client)
                most.append(len(together))
            time.sleep(0.05)
            client.command("SELECT 1")
            with lock:
                together.remove(client)

        calls = [asyncio.create_task(readers.run(slow)) for _ in range(12)]
        ticks = 0
        while not all(call.done() for call in calls):
            await asyncio.sleep(0.005)
            ticks += 1
        await asyncio.gather(*calls)
        return max(most), ticks

    most, ticks = run(target, work, size=3)
    assert most == 3
    assert ticks > 10


def test_who_waits_too_long_for_a_turn_is_told_so_and_turns_come_back(target):
    async def work(readers):
        release = threading.Event()
        held = asyncio.create_task(readers.run(lambda _: release.wait(5)))
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="in use"):
            await readers.run(lambda _: None)
        release.set()
        await held
        return await readers.run(lambda _: "served")

    assert run(target, work, size=1, patience_s=0.1) == "served"


def test_a_caller_gets_an_answer_at_its_deadline_and_the_query_keeps_its_turn(target):
    async def work(readers):
        release = threading.Event()
        with pytest.raises(Busy, match="does not answer"):
            await readers.run(lambda _: release.wait(5), deadline_s=0.05)
        with pytest.raises(Busy, match="in use"):
            await readers.run(lambda _: None)
        release.set()
        return await readers.run(lambda _: "served")

    assert run(target, work, size=1, patience_s=0.2) == "served"


def stream(target, made, read):
    """What `read(writer, made)` returns, in a loop of its own."""

    async def inside():
        writer = Writer(target)
        try:
            return await read(writer, made)
        finally:
            writer.close()

    return asyncio.run(inside())


def test_a_writer_writes_and_streams_item_by_item(target):
    asked = threading.Semaphore(0)

    def made(client):
        for number in range(3):
            assert asked.acquire(timeout=10)
            yield client.command(f"SELECT {number}")

    async def read(writer, made):
        found = []
        asked.release()
        async for item in writer.stream(made):
            found.append(item)
            asked.release()
        await writer.write(
            lambda client: client.command("CREATE TABLE IF NOT EXISTS w (a Int8) ENGINE = Memory")
        )
        await writer.write(lambda client: client.command("DROP TABLE w"))
        return found

    assert stream(target, made, read) == [0, 1, 2]


def test_who_stops_reading_a_stream_ends_its_work_and_frees_the_writer(target):
    closed = threading.Event()

    def made(_client):
        try:
            for number in range(1_000_000):
                yield number
                time.sleep(0.001)
        finally:
            closed.set()

    async def read(writer, made):
        items = writer.stream(made)
        first = await anext(items)
        await items.aclose()
        await writer.write(lambda client: client.command("SELECT 1"))
        return first

    assert stream(target, made, read) == 0
    assert closed.is_set()


def test_an_error_in_a_stream_comes_behind_its_items(target):
    def made(_client):
        yield 1
        raise OSError("connection reset")

    async def read(writer, made):
        items = writer.stream(made)
        first = await anext(items)
        with pytest.raises(Busy, match="does not answer"):
            await anext(items)
        return first

    assert stream(target, made, read) == 1
