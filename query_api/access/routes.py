"""The routes of projects and keys."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from spanledger.query_api.access import work
from spanledger.query_api.access.callers import Asking, Project
from spanledger.query_api.access.parameters import KeyId, ProjectName
from spanledger.query_api.parameters import TAKES_NONE
from spanledger.query_api.readers import KeyWriter
from spanledger.schemas import access_api as api
from spanledger.schemas.access import Caller
from spanledger.schemas.errors import BadData, Busy, NotFound
from spanledger.schemas.keys import Keys
from spanledger.schemas.projects import checked_name

access = APIRouter(tags=["projects and keys"])


@access.get("/projects", summary="Projects", response_model=api.Projects, dependencies=TAKES_NONE)
async def projects(request: Request, caller: Asking) -> api.Projects:
    """With a key of a project that one; else every one that was made, and that of the settings."""
    return api.Projects(projects=await _projects(request, caller))


@access.post("/projects", summary="Make a project", response_model=api.ProjectState, dependencies=TAKES_NONE)
async def make_project(request: Request, asked: api.NewProject) -> api.ProjectState:
    """409 where it is one already."""
    return await _writer(request).write(
        lambda client: work.make_project(client, asked.name, asked.description)
    )


@access.get(
    "/projects/{name}", summary="One project", response_model=api.ProjectState, dependencies=TAKES_NONE
)
async def one_project(request: Request, caller: Asking, name: ProjectName) -> api.ProjectState:
    """404 for one that is not there, and for one that the key is not for."""
    found = [state for state in await _projects(request, caller) if state.name == name]
    if not found:
        raise NotFound(f"there is no project {checked_name(name, 'path.name')}")
    return found[0]


@access.get("/keys", summary="The keys of a project", response_model=api.Keys, dependencies=TAKES_NONE)
async def keys(request: Request, project: Project) -> api.Keys:
    """Without the keys themselves, which nothing can tell."""
    found = await request.app.state.readers.run(lambda client: work.list_keys(client, project))
    return api.Keys(keys=found)


@access.post("/keys", summary="Make a key", response_model=api.MadeKey, dependencies=TAKES_NONE)
async def make_key(request: Request, caller: Asking, project: Project, asked: api.NewKey) -> api.MadeKey:
    """The answer shows the key, once. It holds here at once, in other processes within about a second.

    Where there were no keys at all, every request needs one from now on; so the first must be one that can
    make others.
    """
    if _keys(request).open_to is not None and "admin" not in asked.scopes:
        raise BadData(
            "scopes: from the first key on every request needs one, so the first must have the scope admin "
            "(or set SPANLEDGER_API_KEY before)"
        )
    made = await _writer(request).write(lambda client: work.make_key(client, caller, project, asked))
    with suppress(Busy):  # it is stored, and will be read within a second
        await run_in_threadpool(_keys(request).read)
    return made


@access.delete("/keys/{key_id}", summary="Revoke a key", response_model=api.KeyState, dependencies=TAKES_NONE)
async def revoke(request: Request, caller: Asking, key_id: KeyId) -> api.KeyState:
    """It lets nobody in from now on, in other processes within about a second. It stays in the list."""
    revoked = await _writer(request).write(lambda client: work.revoke(client, caller, key_id))
    _keys(request).forget(revoked.id)
    return revoked


async def _projects(request: Request, caller: Caller) -> list[api.ProjectState]:
    found: list[api.ProjectState] = await request.app.state.readers.run(
        lambda client: work.list_projects(client, caller)
    )
    return found


def _writer(request: Request) -> KeyWriter:
    writer: KeyWriter = request.app.state.key_writer
    return writer


def _keys(request: Request) -> Keys:
    found: Keys = request.app.state.keys
    return found
