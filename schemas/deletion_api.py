"""What the API takes and answers about deletion and retention, field by field. Times are RFC 3339 UTC."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spanledger.schemas.api import Answer

MOST_TRACE_IDS = 1000
MOST_DAYS = 36_500

DeletionKind = Literal["trace", "user", "conversation"]
DeletionProgress = Literal["begun", "marked", "hidden", "erased", "done"]


class NewDeletion(BaseModel):
    """What to delete: exactly one of trace_ids, user and conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    trace_ids: list[str] = Field([], max_length=MOST_TRACE_IDS, description="Of each 32 hexadecimal digits.")
    user: str = Field("", max_length=1000, description="Every trace in which a span names this user.")
    conversation: str = Field(
        "", max_length=1000, description="Every trace in which a span names this conversation."
    )
    reason: str = Field(
        "",
        max_length=4000,
        description="Why; kept in the journal, so it should name nobody. Needed unless `dry_run`.",
    )
    who: str = Field("", max_length=256, description="Who asks for it; kept in the journal.")
    dry_run: bool = Field(False, description="Only count what would be deleted.")


class DeletionCounts(Answer):
    """What a deletion takes away, each copy counted once."""

    traces: int = Field(description="Of ids that were given all of them, whether something is stored or not.")
    spans: int
    logs: int = Field(description="Log records of the traces.")
    cost_changes: int = Field(description="Entries in the history of what their spans cost.")


class DeletionState(DeletionCounts):
    """A deletion, and how far it is."""

    id: str | None = Field(description="null: nothing was deleted, it was a dry run.")
    kind: DeletionKind
    subject_sha256: str | None = Field(
        description="SHA-256 of `id`, a newline and the id of the user or conversation: who knows "
        "that id can tell whether this was it. null for traces."
    )
    reason: str
    who: str
    state: DeletionProgress | None = Field(
        description="hidden: no answer has it any more; erased: the files were written anew without it; "
        "done: the old files are gone, too, and nothing came in late. null for a dry run."
    )
    asked_at: str | None
    hidden_at: str | None
    erased_at: str | None
    done_at: str | None


class Deletions(Answer):
    """The journal of deletions, newest first."""

    deletions: list[DeletionState]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class NewRetention(BaseModel):
    """How long to keep the spans and log records of the project."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    days: int | None = Field(
        ge=1, le=MOST_DAYS, description="Whole days of UTC before today that are kept; null: for ever."
    )
    use_default: bool = Field(
        False, description="Give up the project's own setting (`days` is null then): the default holds."
    )
    who: str = Field("", max_length=256, description="Who sets it; kept with it.")


class RetentionState(Answer):
    """How long spans and log records of the project are kept."""

    days: int | None = Field(description="null: for ever.")
    source: Literal["project", "default"] = Field(
        description="Whether it is the project's own setting or SPANLEDGER_RETENTION_DAYS."
    )
    default_days: int | None = Field(description="SPANLEDGER_RETENTION_DAYS; null: for ever.")
    kept_from: str | None = Field(
        description="What began before is rejected, and removed within ten minutes; null: nothing is."
    )
