"""What the routes of deletion and retention take, with the words that say what is allowed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from spanledger.query_api.parameters import ALLOWED, MOST_TRACES, TEXT_FORM
from spanledger.schemas.deletion_api import MOST_DAYS, MOST_TRACE_IDS

_DELETION_FORM = "32 hexadecimal digits, as GET /api/v1/deletions gives them"
ALLOWED_OF_DELETION = {
    "trace_ids": f"a list of up to {MOST_TRACE_IDS} ids of 32 hexadecimal digits",
    "user": TEXT_FORM,
    "conversation": TEXT_FORM,
    "reason": "text of up to 4000 characters",
    "who": "text of up to 256 characters",
    "dry_run": "true or false",
    "days": f"a whole number from 1 to {MOST_DAYS}, or null",
    "use_default": "true or false",
}
ALLOWED_IN_DELETION_PATHS = {"deletion_id": _DELETION_FORM}

DeletionId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description=f"{_DELETION_FORM}.")]


class DeletionsParameters(BaseModel):
    """Which part of the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(50, ge=1, le=MOST_TRACES, description=f"Deletions on a page: {ALLOWED['limit']}.")
    cursor: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = Field(
        None, description=f"Where to go on: {ALLOWED['cursor']}."
    )
