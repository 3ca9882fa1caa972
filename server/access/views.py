"""How projects and keys look in a terminal; the input is the JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from spanledger.server.tree_view import plain

Answer = Mapping[str, Any]


def projects(found: Sequence[Answer]) -> RenderableType:
    """Projects, one a line."""
    table = _table("project", "made (UTC)", "valid keys", "description")
    for project in found:
        _add(
            table,
            plain(project["name"]),
            _minute(project["created_at"]),
            str(project["valid_keys"]),
            plain(project["description"]),
        )
    return table


def keys(found: Sequence[Answer]) -> RenderableType:
    """Keys, one a line, without the keys themselves."""
    if not found:
        return Text("No keys. `spanledger keys create NAME --scope ingest` makes one.")
    table = _table("id", "name", "project", "scopes", "made (UTC)", "state")
    for key in found:
        _add(
            table,
            key["id"],
            plain(key["name"]),
            plain(key["project"]),
            ", ".join(key["scopes"]),
            _minute(key["created_at"]),
            _state(key),
        )
    return table


def first_and_last_sight(made: Answer) -> str:
    """A new key, and how it is used."""
    key = made["key"]
    lines = ["", "The key, shown this once:", "", f"    {key}", ""]
    if {"ingest", "admin"} & set(made["scopes"]):
        lines += ["A program that sends spans needs it in its environment:", ""]
        lines += [f"    OTEL_EXPORTER_OTLP_HEADERS=x-api-key={key}", ""]
    if set(made["scopes"]) - {"ingest"}:
        lines += ["Whoever asks the API, and this terminal:", ""]
        lines += [f"    Authorization: Bearer {key}", f"    SPANLEDGER_API_KEY={key}", ""]
    return "\n".join(lines)


def _state(key: Answer) -> str:
    if key["revoked_at"]:
        return f"revoked {_minute(key['revoked_at'])}"
    if key["expires_at"]:
        return f"{'until' if key['valid'] else 'expired'} {_minute(key['expires_at'])}"
    return "valid"


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    # As Text: what stands in square brackets would be taken for a style.
    table.add_row(*map(Text, cells))


def _minute(time: str | None) -> str:
    return "-" if time is None else time[:16].replace("T", " ")
