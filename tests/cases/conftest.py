"""One ledger that runs for all cases whose state does not matter, the ways into it, and what it stored.

It is on a ClickHouse double, so that its tables can be looked into from here while it runs.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from processes import ClickHouse, Ledger, running_clickhouse, running_ledger, walk
from transports import Http, Transport, open_transports

from spanledger.schemas.database import connect, parse_target


@dataclass
class World:
    """A ledger, the database behind it and the ways in."""

    folder: Path
    ledger: Ledger
    clickhouse: ClickHouse
    sql: Client
    api: httpx.Client
    ways: dict[str, Transport]

    def rows(self, trace_id: bytes, columns: str) -> list[tuple[Any, ...]]:
        """The rows of a trace as the tables have them, by name."""
        return self.sql.query(
            f"SELECT {columns} FROM spans FINAL WHERE hex(trace_id) = {{t:String}} ORDER BY name",
            parameters={"t": trace_id.hex().upper()},
        ).result_rows

    def tree(self, trace_id: bytes) -> Any:
        """The API's answer, which must be JSON without the extensions of Python; None where it is a 404."""
        answer = self.api.get(f"/api/v1/traces/{trace_id.hex()}")
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return json.loads(answer.content, parse_constant=pytest.fail)

    def nodes(self, trace_id: bytes) -> list[Any]:
        tree = self.tree(trace_id)
        return [] if tree is None else walk(tree)

    def node(self, trace_id: bytes) -> Any:
        """The only span of a trace."""
        (node,) = self.nodes(trace_id)
        return node

    def names(self, trace_id: bytes) -> list[str]:
        """The names of a trace's spans as the API has them, which must be those of the table."""
        names = sorted(node["name"] for node in self.nodes(trace_id))
        assert names == [name for (name,) in self.rows(trace_id, "name")]
        return names

    def listed(self, **query: str) -> list[Any]:
        """The traces that the API lists."""
        answer = self.api.get("/api/v1/traces", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["traces"]

    def counted(self, name: str, **labels: str) -> float:
        """What /metrics says; 0 where it does not say it."""
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        wanted = f"{name}{{{inner}}}" if labels else name
        lines = [line.rpartition(" ") for line in self.api.get("/metrics").text.splitlines()]
        return sum(float(value) for series, _, value in lines if series == wanted)

    @contextlib.contextmanager
    def nothing_stored(self) -> Iterator[None]:
        """Of what is sent in here no row is stored, whatever its ids."""
        since = time.time_ns()
        yield
        found = self.sql.query(
            "SELECT count() FROM spans WHERE received_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')",
            parameters={"since": since},
        )
        assert found.first_row == (0,)


@contextlib.contextmanager
def running_world(folder: Path, **settings: Any) -> Iterator[World]:
    with (
        running_clickhouse(folder) as clickhouse,
        running_ledger(folder, clickhouse.url, **settings) as ledger,
        open_transports(ledger) as ways,
        contextlib.closing(connect(parse_target(clickhouse.url))) as sql,
        httpx.Client(
            base_url=f"http://127.0.0.1:{ledger.ports['api']}", trust_env=False, verify=False, timeout=60
        ) as api,
    ):
        yield World(folder, ledger, clickhouse, sql, api, ways)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A ledger with the default limits."""
    with running_world(tmp_path_factory.mktemp("cases")) as world:
        yield world
        assert world.ledger.process.poll() is None


@pytest.fixture(scope="module")
def own_world_with(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., contextlib.AbstractContextManager[World]]:
    """Starts a ledger of one's own: `own_world_with(max_request_bytes=1024)`."""
    return lambda **settings: running_world(tmp_path_factory.mktemp("own"), **settings)


@pytest.fixture(params=["grpc", "http-protobuf", "http-json"])
def way(request: pytest.FixtureRequest, world: World) -> Transport:
    return world.ways[request.param]


@pytest.fixture(params=["grpc", "http-protobuf"])
def protobuf_way(request: pytest.FixtureRequest, world: World) -> Transport:
    return world.ways[request.param]


@pytest.fixture(params=["http-protobuf", "http-json"])
def http_way(request: pytest.FixtureRequest, world: World) -> Http:
    return world.ways[request.param]


@pytest.fixture
def json_way(world: World) -> Http:
    return world.ways["http-json"]
