"""What the commands of `spanledger projects` and `spanledger keys` do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from spanledger.server.access import views
from spanledger.server.access.ledgers import Ledger
from spanledger.server.reading import show


def run_projects(ledger: Ledger, chosen: argparse.Namespace) -> None:
    """Do what was chosen. Raises SpanledgerError with one line for a person."""
    if chosen.action == "create":
        show(views.projects([ledger.create_project(chosen.name, chosen.description)]))
    else:
        show(views.projects(ledger.projects()))


def run_keys(ledger: Ledger, chosen: argparse.Namespace) -> None:
    """As `run_projects`."""
    _KEYS[chosen.action](ledger, chosen)


def _list(ledger: Ledger, chosen: argparse.Namespace) -> None:
    show(views.keys(ledger.keys(chosen.project)))


def _create(ledger: Ledger, chosen: argparse.Namespace) -> None:
    asked = {"name": chosen.name, "scopes": chosen.scope, "expires_at": chosen.expires}
    made = ledger.create_key(chosen.project, asked)
    show(views.keys([made]))
    # As plain lines, so that nothing wraps what is to be copied.
    sys.stdout.write(views.first_and_last_sight(made))


def _revoke(ledger: Ledger, chosen: argparse.Namespace) -> None:
    show(views.keys([ledger.revoke_key(chosen.id)]))


_KEYS: dict[str, Callable[[Ledger, argparse.Namespace], None]] = {
    "list": _list,
    "create": _create,
    "revoke": _revoke,
}
