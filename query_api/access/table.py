"""The routes of an application with what each needs, so that a request is judged before anything reads it."""

from __future__ import annotations

from collections.abc import Mapping
from re import Pattern
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from spanledger.query_api.access.callers import project_of
from spanledger.query_api.access.scopes import SCOPE_OF, Needed


class Entry(NamedTuple):
    """A route that is answered. `in_project`: it has one, which the query may name."""

    template: str
    method: str
    needed: Needed | None
    in_project: bool


class RouteTable:
    """Finds the entry of a request. A route of the application that has no scope is not in it."""

    def __init__(self, app: FastAPI, scopes: Mapping[tuple[str, str], Needed | None] = SCOPE_OF) -> None:
        self._entries: list[tuple[Pattern[str], Entry]] = []
        # In the order in which the application looks for a route.
        for route in iter_route_contexts(app.routes):
            for method in sorted(route.methods or ()):
                key = ("GET" if method == "HEAD" else method, route.path or "")
                if key in scopes:
                    in_project = _has_project(getattr(route, "dependant", None))
                    entry = Entry(route.path or "", method, scopes[key], in_project)
                    self._entries.append((compile_path(route.path or "")[0], entry))

    def find(self, method: str, path: str) -> Entry | None:
        """The entry of the route that answers; None where there is none."""
        for pattern, entry in self._entries:
            if method == entry.method and pattern.match(path):
                return entry
        return None

    def others(self, path: str) -> list[Entry]:
        """The entries that answer at a path, by whichever method."""
        return [entry for pattern, entry in self._entries if pattern.match(path)]


def _has_project(dependant: Any) -> bool:
    return dependant is not None and (
        dependant.call is project_of or any(map(_has_project, dependant.dependencies))
    )
