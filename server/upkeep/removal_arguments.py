"""The arguments of `spanledger delete` and `spanledger retention`."""

from __future__ import annotations

import argparse


def add_delete(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `delete` its arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--trace", action="append", metavar="ID", help="this trace; repeatable")
    what.add_argument("--user", metavar="ID", help="every trace in which a span names this user")
    what.add_argument("--conversation", metavar="ID", help="every trace in which a span names it")
    parser.add_argument("--why", default="", metavar="REASON", help="kept in the journal; needed to delete")
    parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")
    parser.add_argument("--yes", action="store_true", help="do not ask before deleting")
    _add_who(parser)
    _add_api(parser)


def add_retention(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `retention` its arguments."""
    parser.add_argument(
        "days",
        nargs="?",
        metavar="DAYS",
        help="how many days to keep, `forever`, or `default` (SPANLEDGER_RETENTION_DAYS); without: show it",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before setting it")
    _add_who(parser)
    _add_api(parser)


def _add_who(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", metavar="NAME", help="who does this (default: the user's name)")


def _add_api(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api", metavar="URL", help="the query API (default: where the settings say)")
