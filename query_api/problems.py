"""Problems: every error of the API, whoever found it, in one form (RFC 9457).

What went wrong inside is logged once, under an id; the answer has the id and nothing else of it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spanledger.query_api.metrics import route_template
from spanledger.schemas.errors import BadData, Busy, SpanledgerError

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger("spanledger.query_api")


class TraceTooLarge(SpanledgerError):
    """A trace has more spans than one answer may hold."""

    http_status = 422
    title = "Trace too large"


def problem(
    path: str,
    status: int,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """The one form. `more` is `errors` or `error_id`."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": path}
    return Response(json.dumps(body | more), status, headers=headers, media_type=MEDIA_TYPE)


Words = Callable[[object], tuple[Mapping[str, str], Mapping[str, str]]]


def install_problems(app: FastAPI, words: Words) -> None:
    """Answer every error of the application with a problem.

    `words`: for the function behind a route, what each parameter of the query and of the path may be.
    """

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as registered below
        allowed, in_path = words(request.scope["endpoint"])
        found = [_field_error(item, allowed, in_path, request) for item in error.errors()]
        detail = "; ".join(
            f"{item['where']}: {item['what']}" + (f"; allowed: {item['allowed']}" if item["allowed"] else "")
            for item in found
        )
        return problem(request.url.path, 400, BadData.title, detail, errors=found)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(SpanledgerError, _ours)


def _field_error(
    item: Mapping[str, Any], allowed: Mapping[str, str], in_path: Mapping[str, str], request: Request
) -> dict[str, str | None]:
    place: Sequence[Any] = item["loc"]
    what = str(item["msg"]).removeprefix("Value error, ")
    # Of a list the place of the item comes last.
    named = next((each for each in reversed(place) if isinstance(each, str)), "")
    permitted = (in_path if place[0] == "path" else allowed).get(named)
    permitted = item.get("ctx", {}).get("allowed", permitted)
    if item["type"] == "extra_forbidden":
        what, permitted = "no such parameter", ", ".join(_taken(request, str(place[0])))
    where = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)[1:]
    return {"where": where, "what": what, "allowed": permitted}


def _taken(request: Request, part: str) -> list[str]:
    """The names that a route takes in a part of a request, the query or the body."""
    taken = request.scope["route"].dependant
    if part != "query":
        return _names(taken.body_params)
    of_others = (name for each in taken.dependencies for name in _names(each.query_params))
    return [*_names(taken.query_params), *of_others]


def _names(fields: Sequence[Any]) -> list[str]:
    """The names of single parameters, and those in the models of several."""
    names: list[str] = []
    for field in fields:
        model = field.field_info.annotation
        names += model.model_fields if hasattr(model, "model_fields") else [field.alias]
    return names


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered above
    title = HTTPStatus(error.status_code).phrase.capitalize()
    detail = {
        404: f"Nothing is at {request.url.path}",
        405: f"{request.method} is not allowed here",
    }.get(error.status_code, title)
    return problem(request.url.path, error.status_code, title, detail, headers=error.headers)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SpanledgerError)  # noqa: S101 - as registered above
    if error.http_status == 500:
        raise error
    return error_problem(request.url.path, error)


def error_problem(path: str, error: SpanledgerError, headers: Mapping[str, str] | None = None) -> Response:
    """An error that has words for whoever asked, as a problem."""
    more = {"Retry-After": str(math.ceil(error.retry_after_s))} if isinstance(error, Busy) else {}
    return problem(path, error.http_status, error.title, str(error), headers={**(headers or {}), **more})


class Failures:
    """Outermost but for the headers: what nobody expected becomes a 500 that tells nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            error_id = uuid4().hex
            _log.exception("error %s in %s", error_id, route_template(scope))
            if started:
                raise
            detail = "Something went wrong here, not with the request. The log has it under this id."
            answer = problem(scope["path"], 500, SpanledgerError.title, detail, error_id=error_id)
            await answer(scope, receive, send)
