"""The arguments of `spanledger stats`."""

from __future__ import annotations

import argparse

from spanledger.server.search.arguments import add_filters

GROUPS = (
    "model",
    "provider",
    "service",
    "name",
    "role",
    "operation",
    "user",
    "conversation",
    "experiment",
    "tag",
    "status",
    "error_type",
)
BUCKETS = ("minute", "5m", "hour", "day", "week", "month")
PLOTS = ("calls", "errors", "cost", "tokens", "p95")
ORDERS = (
    "calls",
    "errors",
    "cost_usd",
    "unpriced_calls",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "duration_p95",
)


def add_stats(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `stats` its flags."""
    parser.add_argument("--by", action="append", choices=GROUPS, help="a row for each (repeatable)")
    parser.add_argument("--bucket", choices=BUCKETS, help="a row for each piece of time")
    parser.add_argument("--zone", metavar="NAME", help="whose days: an IANA name (default: UTC)")
    parser.add_argument("--spans", action="store_true", help="every span, not only calls of models")
    parser.add_argument("--order", choices=ORDERS, default="calls", help="what comes first (default: calls)")
    parser.add_argument("--limit", type=int, default=20, help="groups; the rest is one row (default: 20)")
    parser.add_argument(
        "--plot", choices=PLOTS, nargs="?", const="calls", help="a chart by time (default: of calls by day)"
    )
    add_filters(parser)
