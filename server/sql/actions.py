"""What `spanledger sql` does with one query: asks the API and shows what it says."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spanledger.schemas.errors import BadData
from spanledger.server.reading import Api, show
from spanledger.server.sql import plot, tables

_SQL = "/api/v1/sql"
_ROWS_OF_A_TABLE = 200
_DESCRIBE = re.compile(r"\s*\\d\s*(?P<view>\w*)\s*;?\s*")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", flags=re.ASCII)


class Wanted(NamedTuple):
    """How results are wanted, and what bounds them."""

    format: str = "table"
    parameters: Mapping[str, Any] = {}
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    plotted: bool = False


def run(api: Api, chosen: argparse.Namespace) -> int:
    """Do what was chosen; return the exit code. Raises SpanledgerError with one line for a person."""
    wanted = Wanted(
        chosen.format,
        dict(_parameter(text) for text in chosen.param),
        _moment(chosen.since, "--from"),
        _moment(chosen.until, "--to"),
        chosen.limit,
        chosen.plot,
    )
    if chosen.limit is not None and chosen.limit < 1:
        raise BadData("--limit: a whole number from 1 is needed")
    if chosen.plot and chosen.format != "table":
        raise BadData("--plot draws what --format would print: leave one of them out")
    query = _query(chosen)
    if query is None:
        from spanledger.server.sql.prompt import prompt

        return prompt(api, wanted)
    answer(api, query, wanted)
    return 0


def answer(api: Api, query: str, wanted: Wanted) -> None:
    """Ask one question and show the answer."""
    described = _DESCRIBE.fullmatch(query)
    if described is not None:
        describe(api, described["view"])
    elif wanted.format != "table":
        for piece in api.pieces(_SQL, _body(query, wanted, wanted.format, wanted.limit)):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    else:
        most = wanted.limit or (None if wanted.plotted else _ROWS_OF_A_TABLE)
        # One more than is shown, to know whether there are more.
        asked = None if most is None else most + (wanted.limit is None)
        result = api.post(_SQL, _body(query, wanted, "json_arrays", asked))
        if wanted.plotted:
            show(plot.chart(result["columns"], result["rows"]))
        else:
            show(tables.result(result["columns"], result["rows"], most=most))


def describe(api: Api, name: str) -> None:
    """Show the views, or the columns of one."""
    views = {view["name"]: view for view in api.get(f"{_SQL}/schema")["views"]}
    if not name:
        show(tables.views(list(views.values())))
    elif name in views:
        show(tables.view(views[name]))
    else:
        raise BadData(f"there is no view {name}; there are: {', '.join(views)}")


def _body(query: str, wanted: Wanted, form: str, limit: int | None) -> dict[str, Any]:
    body = {
        "query": query,
        "parameters": wanted.parameters,
        "format": form,
        "start": wanted.since,
        "end": wanted.until,
        "limit": limit,
    }
    return {name: value for name, value in body.items() if value is not None}


def _query(chosen: argparse.Namespace) -> str | None:
    """The query that was given, one way or another; None: it is to be asked for."""
    if chosen.file is not None:
        if chosen.query is not None:
            raise BadData("QUERY and --file were given: one of them is needed")
        try:
            return Path(chosen.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise BadData(f"{chosen.file} cannot be read: {why}") from None
    if chosen.query == "-" or (chosen.query is None and not sys.stdin.isatty()):
        return sys.stdin.read()
    query: str | None = chosen.query
    return query


def _parameter(text: str) -> tuple[str, Any]:
    name, equal, value = text.partition("=")
    if not equal or not name:
        raise BadData(f"--param {text}: NAME=VALUE is needed, such as model=gpt-4o")
    if not value.startswith("["):
        return name, value
    try:
        return name, json.loads(value)
    except ValueError:
        raise BadData(f"--param {text}: what begins with [ must be an array in JSON") from None


def _moment(text: str | None, flag: str) -> str | None:
    """A time as the API takes it; a day means its beginning in UTC."""
    if text is None:
        return None
    if not _DAY.match(text):
        raise BadData(f"{flag} {text}: a day like 2026-01-31 or a time like 2026-01-31T09:30:00Z is needed")
    return f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text
