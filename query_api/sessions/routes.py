"""The routes of conversations and users.

An id may be any text. In a path it is percent-encoded, slashes too; for ids that clients change on their way
(`..` is one) the same is answered to `?id=`.
"""

from __future__ import annotations

from typing import Annotated

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import ALLOWED, TAKES_NONE
from spanledger.query_api.search.cursors import Cursor, Position, encode_cursor, hash_of
from spanledger.query_api.sessions.parameters import (
    ConversationListParameters,
    ConversationParameters,
    SessionId,
    TurnParameters,
    UserListParameters,
    UserParameters,
)
from spanledger.query_api.sessions.sessions import Asked, list_sessions, summary
from spanledger.query_api.sessions.turns import list_turns
from spanledger.schemas.sessions_api import (
    ConversationDetail,
    ConversationPage,
    UserDetail,
    UserPage,
)

_CONVERSATIONS_OF_USER = 50

sessions = APIRouter(tags=["sessions"])


@sessions.get("/conversations", summary="List conversations", response_model=ConversationPage)
async def conversations(
    request: Request, project: Project, parameters: Annotated[ConversationListParameters, Query()]
) -> ConversationPage:
    """Those that were named last come first. What each amounts to covers all of it, at any time."""
    asked = Asked("conversation", parameters.since_ns, parameters.until_ns, parameters.user)
    rows, cursor = await _list(request, project, asked, parameters.limit, parameters.decoded())
    return ConversationPage.model_validate({"conversations": rows, "next_cursor": cursor})


@sessions.get("/users", summary="List users", response_model=UserPage)
async def users(
    request: Request, project: Project, parameters: Annotated[UserListParameters, Query()]
) -> UserPage:
    """Those that were named last come first. What each amounts to covers all of it, at any time."""
    asked = Asked("user", parameters.since_ns, parameters.until_ns)
    rows, cursor = await _list(request, project, asked, parameters.limit, parameters.decoded())
    return UserPage.model_validate({"users": rows, "next_cursor": cursor})


@sessions.get("/conversation", summary="A conversation by ?id=", response_model=ConversationDetail)
async def conversation_by_id(
    request: Request, project: Project, parameters: Annotated[ConversationParameters, Query()]
) -> ConversationDetail:
    """As `/conversations/{conversation_id}`, for ids that do not come through a path unchanged."""
    return await _conversation(request, project, parameters.id, parameters.limit, parameters.decoded())


@sessions.get(
    "/conversations/{conversation_id:path}",
    summary="A conversation, turn by turn",
    response_model=ConversationDetail,
)
async def conversation(
    request: Request,
    project: Project,
    conversation_id: SessionId,
    parameters: Annotated[TurnParameters, Query()],
) -> ConversationDetail:
    """Each trace of the conversation is a turn, with what the user said and what was answered in the end."""
    return await _conversation(request, project, conversation_id, parameters.limit, parameters.decoded())


@sessions.get("/user", summary="A user by ?id=", response_model=UserDetail)
async def user_by_id(
    request: Request, project: Project, parameters: Annotated[UserParameters, Query()]
) -> UserDetail:
    """As `/users/{user_id}`, for ids that do not come through a path unchanged."""
    return await _user(request, project, parameters.id)


@sessions.get(
    "/users/{user_id:path}",
    summary="What a user did and what it cost",
    response_model=UserDetail,
    dependencies=TAKES_NONE,
)
async def user(request: Request, project: Project, user_id: SessionId) -> UserDetail:
    """All traces of the user together, and the newest conversations."""
    return await _user(request, project, user_id)


async def _list(
    request: Request, project: str, asked: Asked, limit: int, cursor: Cursor | None
) -> tuple[list[dict[str, object]], str | None]:
    name = hash_of(project, asked)
    after = _position(cursor, name)
    rows, position = await request.app.state.analysts.run(
        lambda client: list_sessions(client, project, asked, limit=limit, after=after)
    )
    return rows, _next(name, position)


async def _conversation(
    request: Request, project: str, conversation_id: str, limit: int, cursor: Cursor | None
) -> ConversationDetail:
    name = hash_of("turns", project, conversation_id)
    after = _position(cursor, name)

    def work(client: Client) -> ConversationDetail:
        whole = summary(client, project, "conversation", conversation_id)
        turns, position = list_turns(client, project, conversation_id, limit=limit, after=after)
        return ConversationDetail.model_validate(
            {**whole, "turns": turns, "next_cursor": _next(name, position)}
        )

    found: ConversationDetail = await request.app.state.analysts.run(work)
    return found


async def _user(request: Request, project: str, user_id: str) -> UserDetail:
    def work(client: Client) -> UserDetail:
        whole = summary(client, project, "user", user_id)
        asked = Asked("conversation", user=user_id)
        shown, _ = list_sessions(client, project, asked, limit=_CONVERSATIONS_OF_USER, after=None)
        return UserDetail.model_validate({**whole, "conversations": shown})

    found: UserDetail = await request.app.state.analysts.run(work)
    return found


def _position(cursor: Cursor | None, name: str) -> Position | None:
    """The position of a cursor of this list."""
    if cursor is None:
        return None
    if cursor.search != name:
        allowed = {"allowed": ALLOWED["cursor"]}
        raise RequestValidationError(
            [
                {
                    "type": "value_error",
                    "loc": ("query", "cursor"),
                    "msg": "it belongs to another list",
                    "ctx": allowed,
                }
            ]
        )
    return cursor.position


def _next(name: str, position: Position | None) -> str | None:
    return None if position is None else encode_cursor(Cursor(name, position))
