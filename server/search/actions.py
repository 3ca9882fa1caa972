"""What `spanledger traces` and `spanledger spans` do."""

from __future__ import annotations

import argparse
import re
import time
from typing import Any

from spanledger.query_api.times import format_time, parse_time
from spanledger.schemas.errors import BadData
from spanledger.server.reading import Api, show
from spanledger.server.search.arguments import BOUNDS, REPEATED
from spanledger.server.search.views import render_count, render_spans
from spanledger.server.tree_view import render_list

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def show_traces(api: Api, chosen: argparse.Namespace) -> int:
    """Print the traces that the flags mean."""
    answer = api.get("/api/v1/traces", **_query(chosen))
    show(render_list(answer["traces"]))
    _show_count(answer)
    return 0


def show_spans(api: Api, chosen: argparse.Namespace) -> int:
    """Print the spans that the flags mean."""
    answer = api.get("/api/v1/spans", **_query(chosen))
    show(render_spans(answer["spans"]))
    _show_count(answer)
    return 0


def _show_count(answer: dict[str, Any]) -> None:
    if answer.get("count"):
        show(render_count(answer["count"]))


def _query(chosen: argparse.Namespace) -> dict[str, object]:
    query: dict[str, object] = {
        "limit": chosen.limit,
        "sort": chosen.sort,
        "order": "asc" if chosen.asc else "desc",
    }
    return query | filters(chosen) | ({"count": "true"} if chosen.count else {})


def filters(chosen: argparse.Namespace) -> dict[str, object]:
    """The parameters of the API that choose spans; raises BadData where a time is none."""
    query: dict[str, object] = {
        "start": moment("since", chosen.since),
        "end": moment("until", chosen.until),
        "attribute": chosen.attribute,
        "q": chosen.q,
    }
    names = [*REPEATED, *(f"{which}-{bound}" for which in ("min", "max") for bound in BOUNDS)]
    query |= {name: getattr(chosen, name) for name in (name.replace("-", "_") for name in names)}
    return {name: value for name, value in query.items() if value is not None}


def moment(flag: str, text: str | None) -> str | None:
    """An RFC 3339 time, as it is or so long ago."""
    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,9})([smhd])", text, flags=re.ASCII)
    if ago is not None:
        past = int(ago.group(1)) * _SECONDS[ago.group(2)]
        return format_time(max(0, time.time_ns() - past * 10**9))
    try:
        return format_time(parse_time(text))
    except ValueError:
        raise BadData(f"--{flag} {text}: neither an RFC 3339 time nor like 90s, 30m, 2h, 7d") from None
