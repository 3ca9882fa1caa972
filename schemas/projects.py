"""Projects: what keeps the spans, prices and keys of one apart from those of another."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.schemas.errors import BadData, Conflict
from spanledger.schemas.prices.tables import in_utc

NAME_FORM = "1 to 100 letters of A-Z, a-z, digits, dot, dash and underscore; not . or .."
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}", flags=re.ASCII)
_LONGEST_DESCRIPTION = 1000


class Project(NamedTuple):
    """A row of the table. The setting's project, which needs no row, may have none: no `created_at`."""

    name: str
    description: str
    created_at: datetime | None


def checked_name(name: str, where: str = "project") -> str:
    """The name of a project; BadData where it can be none. It stands in URLs and file names."""
    if not _NAME.fullmatch(name):
        raise BadData(f"{where}: not the name of a project; allowed: {NAME_FORM}")
    return name


def create_project(client: Client, name: str, description: str = "") -> Project:
    """Store a new project; BadData where its name can be none, Conflict where it is one already."""
    checked_name(name, "name")
    if len(description) > _LONGEST_DESCRIPTION:
        raise BadData(f"description: at most {_LONGEST_DESCRIPTION} characters are allowed")
    if any(stored.name == name for stored in stored_projects(client)):
        raise Conflict(f"there is a project {name} already")
    project = Project(name, description, datetime.now(UTC))
    client.insert("projects", [project], column_names=Project._fields, settings={"async_insert": 0})
    return project


def stored_projects(client: Client) -> list[Project]:
    """Every project that was made, by name."""
    rows = client.query("SELECT name, description, created_at FROM projects FINAL ORDER BY name").result_rows
    return [Project(*in_utc(row)) for row in rows]
