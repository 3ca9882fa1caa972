"""Asks the query API for the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException
from typing import IO, Any, TextIO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from rich.console import Console, RenderableType

from spanledger.query_api.trees.tree import read_tree
from spanledger.schemas.errors import Busy, NotFound, SpanledgerError
from spanledger.server.tree_view import render_list, render_tree

_READ_S = 30
_WRITE_S = 600  # a price list that is loaded, a step of pricing anew


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

    def post(self, path: str, body: Mapping[str, Any] | bytes, **query: object) -> Any:
        """The JSON that answers a body, which is sent as JSON unless it is bytes already. Raises as `get`."""
        with self._asked("POST", path, _json(body), query) as answer:
            return json.load(answer)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a setting. Raises as `get`."""
        with self._asked("PUT", path, _json(body), {}) as answer:
            return json.load(answer)

    def delete(self, path: str, **query: object) -> Any:
        """The JSON that answers a removal. Raises as `get`."""
        with self._asked("DELETE", path, None, query) as answer:
            return json.load(answer)

    def lines(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        """The lines of JSON that answer a body, each as it comes. Raises as `get`."""
        with self._asked("POST", path, _json(body), {}) as answer:
            try:
                for line in answer:
                    yield json.loads(line)
            except (OSError, HTTPException, ValueError) as error:
                raise Busy(f"{self._url} broke off ({error})") from None

    def download(self, path: str, **query: object) -> AbstractContextManager[Any]:
        """The open answer, to be read piece by piece. Raises as `get`, until it is open."""
        return self._asked("GET", path, None, query)

    def upload(self, path: str, file: IO[bytes], size: int, **query: object) -> Any:
        """The JSON that answers a file, which is sent as it is read. Raises as `get`."""
        with self._asked("POST", path, file, query, {"Content-Length": str(size)}) as answer:
            return json.load(answer)

    def pieces(self, path: str, body: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes that answer a body, whatever they are. Raises as `get`."""
        with self._asked("POST", path, _json(body), {}) as answer:
            try:
                while piece := answer.read(1 << 16):
                    yield piece
            except (OSError, HTTPException) as error:
                raise Busy(f"{self._url} broke off ({error})") from None

    def _text(self, path: str, **query: object) -> str:
        with self._asked("GET", path, None, query) as answer:
            text: str = answer.read().decode()
            return text

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None,
        query: Mapping[str, object],
        more: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        address = self._url + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        if not address.startswith(("http://", "https://")):
            raise SpanledgerError(f"{self._url} is not an http:// or https:// URL")
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        request = Request(address, body, headers | dict(more or {}), method=method)  # noqa: S310  (checked above)
        wait_s = _READ_S if method == "GET" else _WRITE_S
        try:
            answer = urlopen(request, timeout=wait_s)  # noqa: S310
        except HTTPError as error:
            kind = NotFound if error.code == 404 else SpanledgerError
            raise kind(_detail(error)) from None
        except (URLError, OSError) as error:
            raise Busy(f"no answer from {self._url} ({error}); is `spanledger serve` running?") from None
        with answer:
            yield answer

    def traces(self, limit: int) -> RenderableType:
        """The newest traces as a table."""
        return render_list(self.get("/api/v1/traces", limit=limit)["traces"])

    def tree(self, trace_id: str) -> RenderableType:
        """A trace as a tree."""
        # Deeper than the standard parser goes.
        return render_tree(read_tree(self._text(f"/api/v1/traces/{quote(trace_id, safe='')}")))


def show(what: RenderableType) -> None:
    """Print on standard output."""
    console(sys.stdout).print(what)


def console(file: TextIO) -> Console:
    """A console on a file; where that is no terminal, without colours and 100 columns wide."""
    made = Console(file=file)
    return made if made.is_terminal else Console(file=file, width=100)


def _json(body: Mapping[str, Any] | bytes) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _detail(error: HTTPError) -> str:
    try:
        problem = json.load(error)
    except ValueError:
        return f"{error.code} {error.reason}"
    return str(problem.get("detail") or problem.get("title") or error.reason)
