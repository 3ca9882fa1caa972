"""Reads from the query API for the terminal."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from rich.console import Console, RenderableType

from spanledger.query_api.tree import read_tree
from spanledger.schemas.errors import Busy, NotFound, SpanledgerError
from spanledger.server.tree_view import render_list, render_tree


class Api:
    """The query API at `url`, asked with an optional key."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, **query: object) -> Any:
        """The JSON at `path`. Raises NotFound, Busy where nothing answers, SpanledgerError otherwise."""
        return json.loads(self._text(path, **query))

    def metric(self, name: str) -> float:
        """A Prometheus sample without labels; raises NotFound where there is none of that name."""
        for line in self._text("/metrics").splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise NotFound(f"no metric {name}")

    def _text(self, path: str, **query: object) -> str:
        address = self._url + path + (f"?{urlencode(query)}" if query else "")
        if not address.startswith(("http://", "https://")):
            raise SpanledgerError(f"{self._url} is not an http:// or https:// URL")
        try:
            with urlopen(Request(address, headers=self._headers), timeout=30) as answer:  # noqa: S310  (checked above)
                text: str = answer.read().decode()
                return text
        except HTTPError as error:
            kind = NotFound if error.code == 404 else SpanledgerError
            raise kind(_detail(error)) from None
        except (URLError, OSError) as error:
            raise Busy(f"no answer from {self._url} ({error}); is `spanledger serve` running?") from None

    def traces(self, limit: int) -> RenderableType:
        """The newest traces as a table."""
        return render_list(self.get("/api/v1/traces", limit=limit)["traces"])

    def tree(self, trace_id: str) -> RenderableType:
        """A trace as a tree."""
        # Deeper than the standard parser goes.
        return render_tree(read_tree(self._text(f"/api/v1/traces/{quote(trace_id, safe='')}")))


def show(what: RenderableType) -> None:
    """Print on standard output; where that is no terminal, without colours and 100 columns wide."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(what)


def _detail(error: HTTPError) -> str:
    try:
        problem = json.load(error)
    except ValueError:
        return f"{error.code} {error.reason}"
    return str(problem.get("detail") or problem.get("title") or error.reason)
