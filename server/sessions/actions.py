"""What `spanledger conversations` and `spanledger users` do: each asks the API and shows its answer."""

from __future__ import annotations

import argparse

from spanledger.server.reading import Api, show
from spanledger.server.search.actions import moment
from spanledger.server.sessions import views


def show_conversations(api: Api, chosen: argparse.Namespace) -> int:
    """Print the list, or one of them turn by turn."""
    if chosen.id is not None:
        show(views.conversation(api.get("/api/v1/conversation", id=chosen.id, limit=chosen.limit)))
        return 0
    query = _query(chosen) | ({} if chosen.user is None else {"user": chosen.user})
    show(views.listed(api.get("/api/v1/conversations", **query)["conversations"], "conversation"))
    return 0


def show_users(api: Api, chosen: argparse.Namespace) -> int:
    """Print the list, or one of them."""
    if chosen.id is not None:
        show(views.user(api.get("/api/v1/user", id=chosen.id)))
        return 0
    show(views.listed(api.get("/api/v1/users", **_query(chosen))["users"], "user"))
    return 0


def _query(chosen: argparse.Namespace) -> dict[str, object]:
    query: dict[str, object] = {
        "limit": chosen.limit,
        "start": moment("since", chosen.since),
        "end": moment("until", chosen.until),
    }
    return {name: value for name, value in query.items() if value is not None}
