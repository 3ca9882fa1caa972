"""The routes of the API, for tests that walk over all of them."""

from __future__ import annotations

import re

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path template of every route there is, documented or not."""
    return {(method, route.path) for route in iter_route_contexts(app.routes) for method in route.methods}


def filled(template: str) -> str:
    """A path that comes to a route: ids where ids must be, else a word."""
    known = template.replace("{trace_id}", "0" * 32).replace("{span_id}", "0" * 16)
    return re.sub(r"\{\w+(:\w+)?\}", "word", known)
