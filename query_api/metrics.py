"""What the HTTP side counts of itself, by route and status. docs/metrics.md lists every one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastapi.routing import iter_route_contexts
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# What a client sends must not decide how many series there are.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"


def route_template(scope: Scope) -> str:
    """The path of the route that a request came to, as `/traces/{trace_id}`; `none` where it came to none."""
    templates: dict[Any, str] = scope["app"].state.templates if "endpoint" in scope else {}
    # A request that is refused at the door, for its method, comes to no endpoint.
    refused: str = scope.get("route_template", NO_ROUTE)
    return templates.get(scope.get("endpoint"), refused)


def templates_of(routes: list[BaseRoute]) -> dict[Callable[..., Any] | None, str]:
    """The path of each endpoint: a route of an included router knows its own half only."""
    return {route.endpoint: route.path for route in iter_route_contexts(routes) if route.path}


class HttpMetrics:
    """The metrics of the query API, registered with `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "spanledger_http_requests",
            "Requests to the query API, by method, route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "spanledger_http_request_seconds",
            "Time to the end of an answer of the query API.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )


class Measured:
    """Counts every request and its time to the end of the answer, those that are refused included."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = "none"

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = route_template(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
