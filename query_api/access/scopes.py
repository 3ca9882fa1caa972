"""Scopes: what a key must be good for, route by route. What does not stand here is answered to nobody."""

from __future__ import annotations

from typing import Literal

Scope = Literal["ingest", "read", "write", "admin"]

# By method and path template. None: open to everybody.
SCOPE_OF: dict[tuple[str, str], Scope | None] = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): "admin",
    ("GET", "/api/v1/status"): "admin",
    ("GET", "/api/v1/traces"): "read",
    ("GET", "/api/v1/spans"): "read",
    ("POST", "/api/v1/traces/search"): "read",
    ("POST", "/api/v1/spans/search"): "read",
    ("GET", "/api/v1/traces/{trace_id}"): "read",
    ("GET", "/api/v1/stats"): "read",
    ("POST", "/api/v1/stats"): "read",
    ("GET", "/api/v1/facets"): "read",
    ("GET", "/api/v1/facets/attributes"): "read",
    ("GET", "/api/v1/conversations"): "read",
    ("GET", "/api/v1/conversations/{conversation_id:path}"): "read",
    ("GET", "/api/v1/conversation"): "read",
    ("GET", "/api/v1/users"): "read",
    ("GET", "/api/v1/users/{user_id:path}"): "read",
    ("GET", "/api/v1/user"): "read",
    ("GET", "/api/v1/export"): "read",
    ("POST", "/api/v1/import"): "write",
}
