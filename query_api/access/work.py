"""What is done with projects and keys, on a client of the database: by the routes, and by a terminal where no
server runs.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client

from spanledger.query_api.prices.words import moment_text
from spanledger.query_api.times import TIME_FORM, parse_time
from spanledger.schemas.access import Caller
from spanledger.schemas.access_api import KeyState, MadeKey, NewKey, ProjectState
from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.key_table import KeyRow, create_key, revoke_key, stored_keys
from spanledger.schemas.projects import Project, create_project, stored_projects

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def list_projects(client: Client, caller: Caller) -> list[ProjectState]:
    """The projects that a caller may know of, by name: its own, and for root every one that was made."""
    made = {row.name: row for row in stored_projects(client)}
    names = {caller.project, *(made if caller.root else ())}
    valid = Counter(row.project for row in stored_keys(client) if _is_valid(row))
    return [_project_state(made.get(name, Project(name, "", None)), valid[name]) for name in sorted(names)]


def make_project(client: Client, name: str, description: str) -> ProjectState:
    """A new project; raises as `create_project`."""
    return _project_state(create_project(client, name, description), 0)


def list_keys(client: Client, project: str) -> list[KeyState]:
    """The keys of a project, the newest first."""
    return [_key_state(row) for row in stored_keys(client, project)]


def make_key(client: Client, caller: Caller, project: str, asked: NewKey) -> MadeKey:
    """A new key for a project; NotFound where there is no such one, BadData names what else is wrong."""
    # That of the caller is there without having been made.
    if project != caller.project and all(row.name != project for row in stored_projects(client)):
        raise NotFound(f"there is no project {project}")
    key, row = create_key(client, project, asked.name, asked.scopes, _moment(asked.expires_at))
    return MadeKey(**_key_state(row).model_dump(), key=key)


def revoke(client: Client, caller: Caller, key_id: str) -> KeyState:
    """Revoke a key, of the caller's project if it is not root; NotFound where there is none."""
    return _key_state(revoke_key(client, key_id, None if caller.root else caller.project))


def _project_state(row: Project, valid_keys: int) -> ProjectState:
    return ProjectState(
        name=row.name, description=row.description, created_at=_text(row.created_at), valid_keys=valid_keys
    )


def _key_state(row: KeyRow) -> KeyState:
    return KeyState(
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
        return _EPOCH + timedelta(microseconds=parse_time(text) // 1000)
    except ValueError as error:
        raise BadData(f"expires_at: {error}; allowed: {TIME_FORM}") from None
