"""The routes of deletion and retention."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Query, Request, Response

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TAKES_NONE
from spanledger.query_api.prices.words import moment_text
from spanledger.query_api.readers import Readers
from spanledger.query_api.times import format_time
from spanledger.query_api.upkeep import journal
from spanledger.query_api.upkeep.deletion import DeletionWriter, Wanted, count, delete, new_deletion
from spanledger.query_api.upkeep.deletion_parameters import DeletionId, DeletionsParameters
from spanledger.query_api.upkeep.keeper import Keeper
from spanledger.query_api.upkeep.retention import set_retention
from spanledger.schemas.deletion_api import (
    Deletions,
    DeletionState,
    NewDeletion,
    NewRetention,
    RetentionState,
)
from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.removals import Removals, Removed, kept_from_ns

deletion = APIRouter(tags=["upkeep"])
_TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")


@deletion.post(
    "/deletions",
    summary="Delete traces, or all of a user or a conversation",
    response_model=DeletionState,
    responses={202: {"model": DeletionState, "description": "No answer has it any more."}},
    dependencies=TAKES_NONE,
)
async def delete_traces(
    request: Request, response: Response, project: Project, asked: NewDeletion
) -> DeletionState:
    """Whole traces go, with their log records and the history of their costs, and what comes of them later is
    refused. Answered with 202 when no answer has them any more; the files follow, which `state` tells. New
    traces of a user or a conversation are new data. With `dry_run` only counts are given, with 200.
    """
    wanted = _wanted(asked)
    state = request.app.state
    if asked.dry_run:
        readers: Readers = state.readers
        counts = await readers.run(lambda client: count(client, project, wanted))
        return _dry_run(wanted, asked, **counts._asdict())
    if not asked.reason.strip():
        raise BadData("reason: say why, it is kept in the journal (only a dry_run needs none)")
    removals: Removals = state.removals
    writer: DeletionWriter = state.deletion_writer
    keeper: Keeper = state.keeper
    row = new_deletion(project, wanted, reason=asked.reason, who=asked.who)
    with keeper.hands_off(row):
        row = await writer.write(lambda client: delete(client, removals, row, wanted))
    keeper.look_soon()
    response.status_code = 202
    return _answer(row)


@deletion.get("/deletions", summary="The deletions there were", response_model=Deletions)
async def deletions(
    request: Request, project: Project, parameters: Annotated[DeletionsParameters, Query()]
) -> Deletions:
    """What was deleted, when, by whom and why, and how far it is; newest first. Not whose data it was."""
    readers: Readers = request.app.state.readers
    limit = parameters.limit
    rows = await readers.run(
        lambda client: journal.page(client, project, limit=limit + 1, before=parameters.cursor or "")
    )
    more = rows[limit - 1].deletion if len(rows) > limit else None
    return Deletions(deletions=[_answer(row) for row in rows[:limit]], next_cursor=more)


@deletion.get(
    "/deletions/{deletion_id}",
    summary="How far a deletion is",
    response_model=DeletionState,
    dependencies=TAKES_NONE,
)
async def deletion_state(request: Request, project: Project, deletion_id: DeletionId) -> DeletionState:
    """`done` when nothing of it is left, neither in an answer nor in a file."""
    readers: Readers = request.app.state.readers
    row = await readers.run(lambda client: journal.one(client, project, deletion_id))
    if row is None:
        raise NotFound(f"No deletion {deletion_id}")
    return _answer(row)


@deletion.get(
    "/retention",
    summary="How long spans are kept",
    response_model=RetentionState,
    dependencies=TAKES_NONE,
)
async def retention(request: Request, project: Project) -> RetentionState:
    """Of the caller's project."""
    removals: Removals = request.app.state.removals
    readers: Readers = request.app.state.readers
    await readers.run(removals.refresh)
    return _retention(removals.now(), project)


@deletion.put(
    "/retention",
    summary="Set how long spans are kept",
    response_model=RetentionState,
    dependencies=TAKES_NONE,
)
async def keep_for(request: Request, project: Project, asked: NewRetention) -> RetentionState:
    """Of the caller's project. What is older is rejected from now on, and removed within seconds here and
    within ten minutes elsewhere; that cannot be taken back.
    """
    if asked.use_default and asked.days is not None:
        raise BadData("days: null is needed where use_default is true")
    removals: Removals = request.app.state.removals
    writer: DeletionWriter = request.app.state.deletion_writer
    keeper: Keeper = request.app.state.keeper

    def write(client: Client) -> None:
        set_retention(client, project, asked.days, use_default=asked.use_default, who=asked.who)
        removals.refresh(client)

    await writer.write(write)
    keeper.wake()
    return _retention(removals.now(), project)


def _wanted(asked: NewDeletion) -> Wanted:
    """What is asked for; BadData unless it is exactly one thing."""
    if sum(map(bool, (asked.trace_ids, asked.user, asked.conversation))) != 1:
        raise BadData("body: exactly one is needed of trace_ids, user and conversation, not empty")
    if asked.user:
        return Wanted("user", subject=asked.user)
    if asked.conversation:
        return Wanted("conversation", subject=asked.conversation)
    ids = sorted({trace_id.lower() for trace_id in asked.trace_ids})
    for one in ids:
        if not _TRACE_ID.fullmatch(one):
            raise BadData(
                f"trace_ids: {one[:100]!r} is no trace id; allowed: 32 hexadecimal digits, not all 0"
            )
    return Wanted("trace", ids)


def _dry_run(wanted: Wanted, asked: NewDeletion, **counts: int) -> DeletionState:
    return DeletionState(
        id=None,
        kind=wanted.kind,
        subject_sha256=None,
        reason=asked.reason,
        who=asked.who,
        state=None,
        asked_at=None,
        hidden_at=None,
        erased_at=None,
        done_at=None,
        **counts,
    )


def _answer(row: journal.Deletion) -> DeletionState:
    return DeletionState(
        id=row.deletion,
        kind=row.kind,
        subject_sha256=row.subject_sha256 or None,
        reason=row.reason,
        who=row.who,
        state=row.state,
        asked_at=_moment(row.asked_at),
        hidden_at=_moment(row.hidden_at),
        erased_at=_moment(row.erased_at),
        done_at=_moment(row.done_at),
        traces=row.traces,
        spans=row.spans,
        logs=row.logs,
        cost_changes=row.cost_changes,
    )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)


def _retention(removed: Removed, project: str) -> RetentionState:
    days = removed.days_of(project)
    kept_from = kept_from_ns(days, time.time_ns())
    return RetentionState(
        days=days,
        source="project" if project in removed.days else "default",
        default_days=removed.default_days,
        kept_from=format_time(kept_from) if days is not None else None,
    )
