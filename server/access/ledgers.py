"""A ledger whose projects and keys are looked at and changed: one that runs, or one that does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from clickhouse_connect.driver.client import Client
from pydantic import ValidationError

from spanledger.query_api.access import work
from spanledger.schemas.access import SCOPES, Caller
from spanledger.schemas.access_api import NewKey
from spanledger.schemas.database import Target, connect, migrate
from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.projects import checked_name
from spanledger.server.reading import Api

Answer = Mapping[str, Any]


class Ledger(Protocol):
    """What both can do; the answers are those of the API. Raises SpanledgerError with words for a person."""

    def projects(self) -> Sequence[Answer]: ...
    def create_project(self, name: str, description: str) -> Answer: ...
    def keys(self, project: str | None) -> Sequence[Answer]: ...
    def create_key(self, project: str | None, asked: Answer) -> Answer: ...
    def revoke_key(self, key_id: str) -> Answer: ...


class Running:
    """A ledger that runs, through its API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def projects(self) -> Sequence[Answer]:
        found: Sequence[Answer] = self._api.get("/api/v1/projects")["projects"]
        return found

    def create_project(self, name: str, description: str) -> Answer:
        made: Answer = self._api.post("/api/v1/projects", {"name": name, "description": description})
        return made

    def keys(self, project: str | None) -> Sequence[Answer]:
        found: Sequence[Answer] = self._api.get("/api/v1/keys", **_in(project))["keys"]
        return found

    def create_key(self, project: str | None, asked: Answer) -> Answer:
        made: Answer = self._api.post("/api/v1/keys", asked, **_in(project))
        return made

    def revoke_key(self, key_id: str) -> Answer:
        revoked: Answer = self._api.delete(f"/api/v1/keys/{quote(key_id, safe='')}")
        return revoked


class Resting:
    """An embedded database that no server has open. Whoever may write its folder may do everything."""

    def __init__(self, client: Client, project: str) -> None:
        self._client = client
        self._caller = Caller(project, frozenset(SCOPES), root=True)

    def projects(self) -> Sequence[Answer]:
        return [state.model_dump() for state in work.list_projects(self._client, self._caller)]

    def create_project(self, name: str, description: str) -> Answer:
        return work.make_project(self._client, name, description).model_dump()

    def keys(self, project: str | None) -> Sequence[Answer]:
        return [state.model_dump() for state in work.list_keys(self._client, self._chosen(project))]

    def create_key(self, project: str | None, asked: Answer) -> Answer:
        try:
            new = NewKey.model_validate(asked)
        except ValidationError as error:
            raise BadData("; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())) from None
        return work.make_key(self._client, self._caller, self._chosen(project), new).model_dump()

    def revoke_key(self, key_id: str) -> Answer:
        return work.revoke(self._client, self._caller, key_id).model_dump()

    def _chosen(self, project: str | None) -> str:
        own = self._caller.project
        return own if project is None or project == own else checked_name(project)


@contextmanager
def resting(target: Target, project: str, *, create: bool) -> Iterator[Resting]:
    """Open an embedded database as long as this lasts; `create`: one that is not there yet, too.

    NotFound where there is none.
    """
    if not create and not Path(target.path).exists():
        raise NotFound(f"there is no ledger at {target} yet; `spanledger serve` makes it")
    migrate(target)
    with closing(connect(target)) as client:
        yield Resting(client, project)


def _in(project: str | None) -> dict[str, str]:
    return {} if project is None else {"project": project}
