"""The arguments of `spanledger conversations` and `spanledger users`."""

from __future__ import annotations

import argparse


def add_conversations(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `conversations` its flags."""
    parser.add_argument("id", nargs="?", metavar="ID", help="show this one, turn by turn")
    parser.add_argument("--user", help="conversations of this user")
    _add_list(parser)


def add_users(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `users` its flags."""
    parser.add_argument("id", nargs="?", metavar="ID", help="show this one with the newest conversations")
    _add_list(parser)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--since", metavar="TIME", help="named since: RFC 3339, or 90s, 30m, 2h, 7d ago")
    parser.add_argument("--until", metavar="TIME", help="named before this time, in the same forms")
