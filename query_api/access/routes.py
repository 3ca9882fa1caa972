"""The routes of projects and keys."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from spanledger.query_api.access.callers import Asking, Project
from spanledger.query_api.access.parameters import KeyId, ProjectName
from spanledger.query_api.parameters import TAKES_NONE
from spanledger.query_api.prices.words import moment_text
from spanledger.query_api.readers import KeyWriter
from spanledger.query_api.times import TIME_FORM, parse_time
from spanledger.schemas import access_api as api
from spanledger.schemas.access import Caller
from spanledger.schemas.errors import BadData, Busy, NotFound
from spanledger.schemas.key_table import KeyRow, create_key, revoke_key, stored_keys
from spanledger.schemas.keys import Keys
from spanledger.schemas.projects import Project as ProjectRow
from spanledger.schemas.projects import checked_name, create_project, stored_projects

access = APIRouter(tags=["projects and keys"])


@access.get("/projects", summary="Projects", response_model=api.Projects, dependencies=TAKES_NONE)
async def projects(request: Request, caller: Asking) -> api.Projects:
    """With a key of a project that one; else every one that was made, and that of the settings."""
    return api.Projects(projects=await _projects(request, caller))


@access.post("/projects", summary="Make a project", response_model=api.ProjectState, dependencies=TAKES_NONE)
async def make_project(request: Request, asked: api.NewProject) -> api.ProjectState:
    """409 where it is one already."""
    made = await _writer(request).write(lambda client: create_project(client, asked.name, asked.description))
    return _project_state(made, 0)


@access.get(
    "/projects/{name}", summary="One project", response_model=api.ProjectState, dependencies=TAKES_NONE
)
async def one_project(request: Request, caller: Asking, name: ProjectName) -> api.ProjectState:
    """404 for one that is not there, and for one that the key is not for."""
    checked_name(name, "path.name")
    found = [state for state in await _projects(request, caller) if state.name == name]
    if not found:
        raise NotFound(f"there is no project {name}")
    return found[0]


@access.get("/keys", summary="The keys of a project", response_model=api.Keys, dependencies=TAKES_NONE)
async def keys(request: Request, project: Project) -> api.Keys:
    """Without the keys themselves, which nothing can tell."""
    rows = await request.app.state.readers.run(lambda client: stored_keys(client, project))
    return api.Keys(keys=[_key_state(row) for row in rows])


@access.post("/keys", summary="Make a key", response_model=api.MadeKey, dependencies=TAKES_NONE)
async def make_key(request: Request, caller: Asking, project: Project, asked: api.NewKey) -> api.MadeKey:
    """The answer shows the key, once. It holds here at once, in other processes within about a second.

    Where there were no keys at all, every request needs one from now on; so the first must be one that can
    make others.
    """
    state = request.app.state
    expires_at = _moment(asked.expires_at)
    if state.keys.open_to is not None and "admin" not in asked.scopes:
        raise BadData(
            "scopes: from the first key on every request needs one, so the first must have the scope admin "
            "(or set SPANLEDGER_API_KEY before)"
        )

    def make(client: Client) -> tuple[str, KeyRow]:
        # That of the caller is there without having been made.
        if project != caller.project and all(row.name != project for row in stored_projects(client)):
            raise NotFound(f"there is no project {project}")
        return create_key(client, project, asked.name, asked.scopes, expires_at)

    key, row = await _writer(request).write(make)
    with suppress(Busy):  # it is stored, and will be read within a second
        await run_in_threadpool(_keys(request).read)
    return api.MadeKey(**_key_state(row).model_dump(), key=key)


@access.delete("/keys/{key_id}", summary="Revoke a key", response_model=api.KeyState, dependencies=TAKES_NONE)
async def revoke(request: Request, caller: Asking, key_id: KeyId) -> api.KeyState:
    """It lets nobody in from now on, in other processes within about a second. It stays in the list."""
    only = None if caller.root else caller.project
    row = await _writer(request).write(lambda client: revoke_key(client, key_id, only))
    _keys(request).forget(row.id)
    return _key_state(row)


def _writer(request: Request) -> KeyWriter:
    writer: KeyWriter = request.app.state.key_writer
    return writer


def _keys(request: Request) -> Keys:
    found: Keys = request.app.state.keys
    return found


async def _projects(request: Request, caller: Caller) -> list[api.ProjectState]:
    """The projects that a caller may know of, by name."""

    def read(client: Client) -> tuple[list[ProjectRow], list[KeyRow]]:
        return stored_projects(client), stored_keys(client)

    rows, key_rows = await request.app.state.readers.run(read)
    made = {row.name: row for row in rows}
    names = {caller.project, *(made if caller.root else ())}
    valid = Counter(row.project for row in key_rows if _is_valid(row))
    return [_project_state(made.get(name, ProjectRow(name, "", None)), valid[name]) for name in sorted(names)]


def _project_state(row: ProjectRow, valid_keys: int) -> api.ProjectState:
    return api.ProjectState(
        name=row.name,
        description=row.description,
        created_at=_text(row.created_at),
        valid_keys=valid_keys,
    )


def _key_state(row: KeyRow) -> api.KeyState:
    return api.KeyState(
        id=row.id,
        project=row.project,
        name=row.name,
        scopes=row.scopes,
        created_at=moment_text(row.created_at),
        expires_at=_text(row.expires_at),
        revoked_at=_text(row.revoked_at),
        valid=_is_valid(row),
    )


def _is_valid(row: KeyRow) -> bool:
    return not row.revoked and (row.expires_at is None or row.expires_at > datetime.now(UTC))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_time(text) // 1000)
    except ValueError as error:
        raise BadData(f"expires_at: {error}; allowed: {TIME_FORM}") from None
