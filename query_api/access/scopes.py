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
    ("GET", "/api/v1/traces/{trace_id}"): "read",
    ("POST", "/api/v1/deletions"): "write",
    ("GET", "/api/v1/deletions"): "read",
    ("GET", "/api/v1/deletions/{deletion_id}"): "read",
    ("GET", "/api/v1/retention"): "read",
    ("PUT", "/api/v1/retention"): "admin",
}
