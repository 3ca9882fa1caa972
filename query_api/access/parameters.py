"""What the routes of projects and keys take, each with the words that say what is allowed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from spanledger.query_api.times import TIME_FORM
from spanledger.schemas.access import SCOPES
from spanledger.schemas.projects import NAME_FORM

ALLOWED_OF_KEYS = {
    "scopes": f"a list of {', '.join(SCOPES)}",
    "expires_at": TIME_FORM,
    "description": "text of up to 1000 characters",
    "name": f"of a project {NAME_FORM}; of a key text of 1 to 200 characters",
}
ALLOWED_IN_KEY_PATHS = {"name": NAME_FORM, "key_id": "the id of a key"}

KeyId = Annotated[str, Path(max_length=100, description="As GET /api/v1/keys gives it.")]
ProjectName = Annotated[str, Path(description=NAME_FORM)]
