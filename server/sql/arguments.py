"""The arguments of `spanledger sql`."""

from __future__ import annotations

import argparse

FORMATS = ("table", "json", "json_arrays", "jsonl", "csv", "arrow", "parquet")


def add_sql(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `sql` its arguments."""
    parser.add_argument(
        "query",
        nargs="?",
        metavar="QUERY",
        help=r"one SELECT, or \d for the views, \d VIEW for the columns of one; -: from standard input; "
        "without one: a prompt",
    )
    parser.add_argument("-f", "--file", metavar="FILE", help="take the query from a file")
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print it (default: table)")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value for {NAME:Type} in the query; of an array as JSON, such as ids='[1, 2]'; repeatable",
    )
    form = "2026-01-31 or 2026-01-31T09:30:00Z"
    parser.add_argument(
        "--from", dest="since", metavar="TIME", help=f"look only at what began from this time on ({form})"
    )
    parser.add_argument("--to", dest="until", metavar="TIME", help="look only at what began before this time")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="at most so many rows (default: of a table 200, else all)"
    )
    parser.add_argument(
        "--plot",
        action="store_true",
        help="draw it: the first column along the axis, the columns of numbers as lines or bars",
    )
    parser.add_argument("--api", metavar="URL", help="the query API (default: where the settings say)")
