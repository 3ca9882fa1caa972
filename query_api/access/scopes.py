"""Scopes: what a key must be good for, route by route. What does not stand here is answered to nobody."""

from __future__ import annotations

from typing import Literal

from spanledger.schemas.access import Caller, Scope
from spanledger.schemas.errors import Forbidden

Needed = Scope | Literal["root"]
"""`root`: what concerns every project, so that no key of one project is enough."""

# By method and path template. None: open to everybody. A route for GET answers HEAD under the same terms.
SCOPE_OF: dict[tuple[str, str], Needed | None] = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): "root",
    ("GET", "/docs"): "read",
    ("GET", "/docs/oauth2-redirect"): "read",
    ("GET", "/openapi.json"): "read",
    ("GET", "/api/v1/status"): "root",
    ("GET", "/api/v1/projects"): "read",
    ("POST", "/api/v1/projects"): "root",
    ("GET", "/api/v1/projects/{name}"): "read",
    ("GET", "/api/v1/keys"): "admin",
    ("POST", "/api/v1/keys"): "admin",
    ("DELETE", "/api/v1/keys/{key_id}"): "admin",
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
    ("GET", "/api/v1/prices"): "read",
    ("GET", "/api/v1/prices/lists"): "read",
    ("GET", "/api/v1/prices/match"): "read",
    ("GET", "/api/v1/prices/model"): "read",
    ("GET", "/api/v1/prices/unpriced"): "read",
    ("POST", "/api/v1/prices/import"): "root",
    ("POST", "/api/v1/prices/update"): "root",
    ("GET", "/api/v1/prices/overrides"): "root",
    ("POST", "/api/v1/prices/overrides"): "root",
    ("DELETE", "/api/v1/prices/overrides/{override_id}"): "root",
    ("POST", "/api/v1/prices/reprice"): "root",
    ("GET", "/api/v1/prices/reprices"): "root",
    ("GET", "/api/v1/spans/{trace_id}/{span_id}/cost"): "read",
    ("POST", "/api/v1/sql"): "read",
    ("GET", "/api/v1/sql/schema"): "read",
    ("POST", "/api/v1/deletions"): "write",
    ("GET", "/api/v1/deletions"): "read",
    ("GET", "/api/v1/deletions/{deletion_id}"): "read",
    ("GET", "/api/v1/retention"): "read",
    ("PUT", "/api/v1/retention"): "admin",
}

# Routes whose body is a file, and may be larger than memory.
OF_FILES = frozenset({("POST", "/api/v1/import"), ("POST", "/api/v1/prices/import")})


def need(caller: Caller, needed: Needed) -> None:
    """Forbidden, naming what is needed, where the caller has it not."""
    if caller.root:
        return
    if needed == "root":
        raise Forbidden("This concerns every project: it needs the key of the setting SPANLEDGER_API_KEY")
    if not caller.may(needed):
        raise Forbidden(f"This needs a key with the scope {needed}")
