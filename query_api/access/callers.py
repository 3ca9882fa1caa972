"""Callers: who asks, and in which project a request is answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from spanledger.schemas.access import Caller
from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.projects import NAME_FORM, checked_name


def caller_of(request: Request) -> Caller:
    """Who asks, as the doors found it."""
    caller: Caller = request.state.caller
    return caller


Asking = Annotated[Caller, Depends(caller_of)]


def project_of(
    request: Request,
    caller: Asking,
    # For the API's document only: the doors take it out of what a route sees (access/doors.py).
    _project: Annotated[
        str | None,
        Query(
            alias="project", description=f"The project to answer for, where the key may choose: {NAME_FORM}."
        ),
    ] = None,
) -> str:
    """The project whose spans the request may see and change: the key's own; for the root key any."""
    asked: list[str] = request.state.asked_projects
    if not asked:
        return caller.project
    if len(asked) > 1:
        raise BadData("query.project: given more than once")
    if asked[0] == caller.project:
        return caller.project
    checked_name(asked[0], "query.project")
    if not caller.root:
        # The same whether there is such a project or not.
        raise NotFound(f"there is no project {asked[0]}")
    return asked[0]


Project = Annotated[str, Depends(project_of)]
