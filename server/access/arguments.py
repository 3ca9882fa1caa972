"""The arguments of `spanledger projects` and `spanledger keys`."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

SCOPES = ("ingest", "read", "write", "admin")
_WHERE = (
    "the query API (default: the embedded database if no server has it open, else where the settings say)"
)


def add_projects(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `projects` its commands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _command(commands, "list", "list the projects")
    made = _command(commands, "create", "make a project")
    made.add_argument("name", metavar="NAME", help="letters, digits, dot, dash and underscore")
    made.add_argument("--description", default="", help="kept with it")


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `keys` its commands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = _command(commands, "list", "list the keys of a project")
    made = _command(commands, "create", "make a key, and print it this once")
    made.add_argument("name", metavar="NAME", help="what people know it by: who or what will use it")
    made.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=SCOPES,
        help="what it is good for; repeatable; admin includes the others",
    )
    made.add_argument(
        "--expires", metavar="TIME", help="good for nothing from then on (2026-01-31T09:30:00Z)"
    )
    for with_project in (listed, made):
        with_project.add_argument("--project", help="default: that of the settings, or of the key")
    revoked = _command(commands, "revoke", "revoke a key")
    revoked.add_argument("id", metavar="ID", help="as `spanledger keys list` shows it")


def _command(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    made.add_argument("--api", metavar="URL", help=_WHERE)
    return made
