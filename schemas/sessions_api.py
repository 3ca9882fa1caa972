"""What the API answers about conversations and users.

Tokens and money count LLM and embedding calls only, each once. `null` means that it is not known.
"""

from __future__ import annotations

from pydantic import Field

from spanledger.schemas.api import Answer

_SHORT = "The first 500 characters."


class Activity(Answer):
    """What spans amount to."""

    first_time: str = Field(description="Start of the first span.")
    last_time: str = Field(description="End of the span that ended last.")
    duration_ms: float = Field(description="From `first_time` to `last_time`.")
    spans: int
    calls: int = Field(description="LLM and embedding calls, each once.")
    errors: int = Field(description="Spans whose status is error.")
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    input_audio_tokens: int | None
    output_audio_tokens: int | None
    cost_usd: str | None = Field(description="Of the calls whose cost is known, US dollars.")
    unpriced_calls: int = Field(description="Calls that `cost_usd` leaves out.")
    models: list[str] = Field(description="Models that answered, or were asked where no answer tells.")


class Session(Activity):
    """A conversation or a user: all spans that name it, and those of their traces that name no other."""

    id: str
    traces: int = Field(description="Traces with a span of it.")


class ListedSession(Session):
    """One in a list."""

    last_named_at: str = Field(
        description="Start of the newest span (of the time asked for) that names it: the list goes by it."
    )


class ConversationPage(Answer):
    """Conversations, newest activity first."""

    conversations: list[ListedSession]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class UserPage(Answer):
    """Users, newest activity first."""

    users: list[ListedSession]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class Turn(Activity):
    """A trace of a conversation."""

    trace_id: str
    name: str = Field(description="Name of its first span.")
    input: str | None = Field(description=f"What the user said. {_SHORT}")
    output: str | None = Field(description=f"What was answered in the end. {_SHORT}")


class ConversationDetail(Session):
    """A conversation and its turns, oldest first."""

    turns: list[Turn]
    next_cursor: str | None = Field(description="`cursor` of the next turns; null behind the last one.")


class UserDetail(Session):
    """A user and the newest conversations."""

    conversations: list[ListedSession] = Field(description="At most 50; the list of conversations has all.")
