"""What the API answers about projects and keys, field by field, and what it takes.

No answer has a key, but the one that made it. Times are RFC 3339 UTC; `null`: it has not happened.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from spanledger.schemas.access import Scope
from spanledger.schemas.api import Answer
from spanledger.schemas.projects import NAME_FORM


class ProjectState(Answer):
    """A project."""

    name: str
    description: str
    created_at: str | None = Field(description="null: it is the project of the settings, and was never made.")
    valid_keys: int = Field(description="Keys that are neither revoked nor expired.")


class Projects(Answer):
    """The projects that the caller may ask about, by name."""

    projects: list[ProjectState]


class NewProject(BaseModel):
    """A project to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description=NAME_FORM, examples=["checkout"])
    description: str = Field("", max_length=1000)


class KeyState(Answer):
    """A key, without the key."""

    id: str = Field(description="The key shows it, behind `sl_`; it is no secret.")
    project: str = Field(description="The only one that it lets in to.")
    name: str
    scopes: list[Scope] = Field(description="What it is good for; `admin` includes the others.")
    created_at: str
    expires_at: str | None = Field(description="Good for nothing from then on; null: never.")
    revoked_at: str | None
    valid: bool = Field(description="Neither revoked nor expired.")


class Keys(Answer):
    """The keys of a project, the newest first; those that are no longer valid, too."""

    keys: list[KeyState]


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="What people know it by: who or what will use it.", max_length=200)
    scopes: list[Scope] = Field(description="What it is good for; `admin` includes the others.", min_length=1)
    expires_at: str | None = Field(None, description="Good for nothing from then on: a time to come.")


class MadeKey(KeyState):
    """A key that was made: this answer alone has the key itself."""

    key: str = Field(description="To be kept by whoever asked: nothing can tell it again.")
