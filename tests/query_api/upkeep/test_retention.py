"""query_api.upkeep.retention: what is older than its project keeps goes, in whole days, and nothing else."""

from __future__ import annotations

import secrets
import time
from types import MappingProxyType

import numpy as np
import pytest
from otlp_logs import logs_request, record
from otlp_requests import llm_span, request

from spanledger.query_api.upkeep.retention import expire, set_retention
from spanledger.query_api.upkeep.tables import erase
from spanledger.schemas.removals import DAY_NS, Removed

TODAY_NS = time.time_ns() // DAY_NS * DAY_NS


def at(start_ns, trace=None, **more):
    made = llm_span(trace, **more)
    made.start_time_unix_nano, made.end_time_unix_nano = start_ns, start_ns + 10**9
    return made


def keeping(days, default=None, version=1):
    """What the process knows whose projects keep so many days."""
    return Removed(version, np.empty((2, 0), np.int64), MappingProxyType({}), MappingProxyType(days), default)


@pytest.fixture
def names(writer, project):
    """The names of all spans of a project."""

    def names(of=project):
        sql = "SELECT name FROM spans FINAL WHERE project = {p:String} ORDER BY name"
        return [name for (name,) in writer.query(sql, parameters={"p": of}).result_rows]

    return names


def named(name, start_ns, trace=None):
    made = at(start_ns, trace)
    made.name = name
    return made


def test_whole_days_go_and_the_days_that_are_kept_stay(put, writer, project, names):
    """Of three days that are kept the first moment stays, the one before it goes; logs and histories, too."""
    edge = TODAY_NS - 3 * DAY_NS
    trace = secrets.token_bytes(16)
    put(request(named("a-old", edge - DAY_NS), named("b-before", edge - 1), named("c-first", edge, trace)))
    put(logs_request(record(time_unix_nano=edge - 1), record(trace, time_unix_nano=edge)), "logs")
    writer.command(
        "INSERT INTO cost_changes (project, start_time, run) SELECT {p:String}, "
        "fromUnixTimestamp64Nano(arrayJoin({times:Array(Int64)}), 'UTC'), 'a run'",
        parameters={"p": project, "times": [edge - 1, edge]},
    )
    assert expire(writer, keeping({project: 3}), time.time_ns()) == 4
    assert names() == ["c-first"]
    for table in ("logs", "cost_changes"):
        sql = f"SELECT count() FROM {table} WHERE project = {{p:String}}"
        assert writer.query(sql, parameters={"p": project}).result_rows == [(1,)]
    while not erase(writer):
        time.sleep(0.05)
    assert names() == ["c-first"]


def test_another_project_of_the_same_days_keeps_its_own(put, names, writer, project):
    old = TODAY_NS - 50 * DAY_NS
    put(request(named("mine", old)))
    put(request(named("theirs", old)), under=f"{project}-b")
    expire(writer, keeping({project: 30, f"{project}-b": 90}), time.time_ns())
    assert names() == []
    assert names(f"{project}-b") == ["theirs"]
    expire(writer, keeping({project: 30}), time.time_ns())
    assert names(f"{project}-b") == ["theirs"]


def test_a_day_that_no_project_keeps_goes_with_its_partition(put, names, writer, project):
    """By the default: no mutation is needed for it."""
    old = TODAY_NS - 40_000 // 2 * DAY_NS
    put(request(named("a", old)))
    put(request(named("b", old)), under=f"{project}-b")
    expire(writer, keeping({project: 19_000}, default=19_500), time.time_ns())
    assert names() == names(f"{project}-b") == []
    parts = writer.query(
        "SELECT count() FROM system.parts WHERE active AND table = 'spans' AND max_time < now() - "
        "INTERVAL 19900 DAY AND database = currentDatabase() AND rows > 0"
    ).result_rows
    assert parts == [(0,)]


def test_by_itself_everything_is_kept_for_ever(put, names, writer):
    put(request(named("old", TODAY_NS - 3000 * DAY_NS)))
    assert expire(writer, keeping({}), time.time_ns()) == 0
    assert names() == ["old"]


def test_what_comes_late_is_refused_with_the_reason(put, writer, project, removals, names):
    """So a replay does not bring back what was removed; another project takes it."""
    set_retention(writer, project, 2)
    removals.refresh(writer)
    old, new = named("old", TODAY_NS - 3 * DAY_NS), named("new", TODAY_NS - DAY_NS)
    block = put(request(old, new))
    assert (block.rows, block.left_out[0].expired) == (1, 1)
    assert names() == ["new"]
    assert put(logs_request(record(time_unix_nano=TODAY_NS - 3 * DAY_NS)), "logs").rows == 0
    assert put(request(old), under=f"{project}-b").rows == 1
    set_retention(writer, project, None)
    removals.refresh(writer)
    assert put(request(old)).rows == 1


def test_the_keeper_removes_what_is_too_old(put, writer, project, names, keeper):
    put(request(named("old", TODAY_NS - 3 * DAY_NS), named("new", TODAY_NS)))
    set_retention(writer, project, 1)
    keeper.look(writer)
    assert names() == ["new"]
