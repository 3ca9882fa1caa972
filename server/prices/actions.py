"""What the commands of `spanledger prices` do: each asks the API and shows its answer."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from spanledger.query_api.prices.fetch import MOST_BYTES
from spanledger.schemas.errors import BadData, SpanledgerError
from spanledger.server.prices import views
from spanledger.server.reading import Api, console, show
from spanledger.server.who import who

_PRICES = "/api/v1/prices"
_DAY = re.compile(r"\d{4}-\d\d-\d\d", flags=re.ASCII)
_PAGE = 500


def run(api: Api, chosen: argparse.Namespace) -> int:
    """Do what was chosen; return the exit code. Raises SpanledgerError with one line for a person."""
    return _ACTIONS[chosen.action](api, chosen) or 0


def _list(api: Api, chosen: argparse.Namespace) -> None:
    if chosen.lists:
        show(views.lists(api.get(f"{_PRICES}/lists")["lists"]))
        return
    if chosen.limit < 1:
        raise BadData("--limit: a whole number from 1 is needed")
    query = _given(model=chosen.model, provider=chosen.provider, source=chosen.source)
    models: list[Mapping[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None and len(models) < chosen.limit:
        more = {"cursor": cursor} if cursor else {}
        page = api.get(_PRICES, limit=min(_PAGE, chosen.limit - len(models)), **query, **more)
        models += page["models"]
        cursor = page["next_cursor"]
    show(views.models(models, more=cursor is not None))


def _show(api: Api, chosen: argparse.Namespace) -> None:
    show(
        views.published(
            api.get(f"{_PRICES}/model", provider=chosen.provider, model=chosen.model)["published"]
        )
    )


def _match(api: Api, chosen: argparse.Namespace) -> None:
    query = _given(
        model=chosen.model,
        provider=chosen.provider,
        tier=chosen.tier,
        host=chosen.host,
        project=chosen.project,
        at=_moment(chosen.at, "--at"),
    )
    show(views.match(api.get(f"{_PRICES}/match", **query), chosen.model))


def _set(api: Api, chosen: argparse.Namespace) -> None:
    made = api.post(
        f"{_PRICES}/overrides",
        {
            "match_value": chosen.model,
            "match_kind": chosen.match,
            "provider": chosen.provider,
            "project": chosen.project,
            "prices": [_price(text) for text in chosen.price],
            "discount_percent": chosen.discount,
            "alias": chosen.alias,
            "valid_from": _moment(chosen.since, "--from"),
            "valid_to": _moment(chosen.until, "--to"),
            "set_by": who(chosen),
            "note": chosen.note,
        },
    )
    show(views.overrides([made]))
    show(Text("It holds for calls that arrive from now on (other processes: within a minute)."))
    show(Text("`spanledger prices reprice` prices those anew that are stored."))


def _remove(api: Api, chosen: argparse.Namespace) -> None:
    made = api.delete(f"{_PRICES}/overrides/{quote(chosen.id, safe='')}", removed_by=who(chosen))
    show(views.overrides([made]))


def _overrides(api: Api, chosen: argparse.Namespace) -> None:
    found = api.get(f"{_PRICES}/overrides", removed="true" if chosen.removed else "false")
    show(views.overrides(found["overrides"]))


def _import(api: Api, chosen: argparse.Namespace) -> None:
    try:
        with Path(chosen.file).open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadData(f"{chosen.file} cannot be read: {error.strerror}") from None
    if len(text) > MOST_BYTES:
        raise BadData(f"{chosen.file} is larger than {MOST_BYTES >> 20} MiB")
    show(views.taken(api.post(f"{_PRICES}/import", text, source=chosen.source)))


def _update(api: Api, _: argparse.Namespace) -> None:
    show(views.taken(api.post(f"{_PRICES}/update", b"")))


def _unpriced(api: Api, chosen: argparse.Namespace) -> None:
    query = _given(start=_moment(chosen.since, "--from"), end=_moment(chosen.until, "--to"))
    show(views.unpriced(api.get(f"{_PRICES}/unpriced", limit=chosen.limit, **query)))


def _explain(api: Api, chosen: argparse.Namespace) -> None:
    trace_id, span_id = quote(chosen.trace_id, safe=""), quote(chosen.span_id, safe="")
    show(views.bill(api.get(f"/api/v1/spans/{trace_id}/{span_id}/cost")))


def _reprice(api: Api, chosen: argparse.Namespace) -> int:
    """Show what would change, ask, and write it."""
    if not chosen.dry_run and not chosen.why.strip():
        raise BadData("--why: say why, it is kept with the run (or --dry-run, which writes nothing)")
    asked = {
        "start": _moment(chosen.since, "--from"),
        "end": _moment(chosen.until, "--to") or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "provider": chosen.provider,
        "model": chosen.model,
        "unpriced_only": chosen.unpriced_only,
        "reason": chosen.why,
        "who": who(chosen),
    }
    result = _followed(api.lines(f"{_PRICES}/reprice", asked | {"dry_run": True}), "looking")
    show(views.changes(result))
    if chosen.dry_run or not result["changed_spans"]:
        return 0
    if not chosen.yes and not _agreed(f"Write {result['changed_spans']:,} changed costs? [y/N] "):
        show(Text("Nothing was written."))
        return 1
    written = _followed(api.lines(f"{_PRICES}/reprice", asked | {"dry_run": False}), "writing")
    show(views.written(written))
    return 0


def _followed(steps: Iterator[Mapping[str, Any]], what: str) -> Mapping[str, Any]:
    """The last step, with a bar on the way where somebody looks."""
    last: Mapping[str, Any] | None = None
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("calls"),
        _Rate(),
        TimeRemainingColumn(),
    )
    err = console(sys.stderr)
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        for last in steps:
            if "error" in last:
                raise SpanledgerError(f"broken off: {last['error']}")
            bar.update(task, completed=last["done_spans"], total=last["total_spans"])
    if last is None or not last["finished"]:
        raise SpanledgerError("the server broke off before the end; the same command goes on")
    return last


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "")


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise BadData("nobody is there to be asked: --yes writes without asking, --dry-run only shows")
    return input(question).strip().lower() in ("y", "yes")


def _price(text: str) -> dict[str, str]:
    unit, equal, price = text.partition("=")
    if not equal or not unit or not price:
        raise BadData(f"--price {text}: UNIT=USD is needed, such as input_tokens=0.15")
    return {"unit": unit.strip(), "price": price.strip()}


def _moment(text: str | None, flag: str) -> str | None:
    """A time as the API takes it; a day means its beginning in UTC."""
    if text is None:
        return None
    if not _DAY.match(text):
        raise BadData(f"{flag} {text}: a day like 2026-01-31 or a time like 2026-01-31T09:30:00Z is needed")
    return f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text


def _given(**query: str | None) -> dict[str, str]:
    return {name: value for name, value in query.items() if value is not None}


_ACTIONS: dict[str, Callable[[Api, argparse.Namespace], int | None]] = {
    "list": _list,
    "show": _show,
    "match": _match,
    "set": _set,
    "remove": _remove,
    "overrides": _overrides,
    "import": _import,
    "update": _update,
    "unpriced": _unpriced,
    "reprice": _reprice,
    "explain": _explain,
}
