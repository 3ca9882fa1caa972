"""What the routes of conversations and users take, each with the words that say what is allowed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import Field

from spanledger.query_api.parameters import ALLOWED, Text
from spanledger.query_api.search.cursors import Cursor, decode_cursor
from spanledger.query_api.search.parameters import CursorText, Parameters, Range

LONGEST_ID = 20_000

_ID_FORM = f"1 to {LONGEST_ID:,} characters"
ALLOWED_IN_SESSIONS = {"id": _ID_FORM}
ALLOWED_IN_SESSION_PATHS = {"conversation_id": _ID_FORM, "user_id": _ID_FORM}

SessionId = Annotated[
    str, Path(min_length=1, max_length=LONGEST_ID, description=f"Percent-encoded; {_ID_FORM}.")
]


class _Page(Parameters):
    limit: int = Field(50, ge=1, le=500, description=f"How many on a page: {ALLOWED['limit']}.")
    cursor: CursorText | None = Field(None, description=f"Where to go on: {ALLOWED['cursor']}.")

    def decoded(self) -> Cursor | None:
        """The cursor, where there is one."""
        return None if self.cursor is None else decode_cursor(self.cursor)


class UserListParameters(_Page, Range):
    """Which users: those that a span of the time names."""


class ConversationListParameters(_Page, Range):
    """Which conversations: those that a span of the time names."""

    user: Text | None = Field(None, description="Conversations of this user.")


class TurnParameters(_Page):
    """Which part of the turns."""


class ConversationParameters(_Page):
    """Which conversation, and which part of its turns."""

    id: str = Field(min_length=1, max_length=LONGEST_ID, description=f"The conversation; {_ID_FORM}.")


class UserParameters(Parameters):
    """Which user."""

    id: str = Field(min_length=1, max_length=LONGEST_ID, description=f"The user; {_ID_FORM}.")
