"""The arguments of `spanledger export` and `spanledger import`."""

from __future__ import annotations

import argparse

FORMATS = ("jsonl", "parquet", "otlp")


def add_export(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `export` its arguments."""
    parser.add_argument("file", metavar="FILE", help="log records go into a file beside it, FILE.logs")
    parser.add_argument(
        "--format", choices=FORMATS, help="default: parquet for FILE.parquet, otherwise jsonl"
    )
    parser.add_argument("--start", metavar="TIME", help="what starts at this time or later")
    parser.add_argument("--end", metavar="TIME", help="what starts before this time")
    parser.add_argument("--force", action="store_true", help="overwrite files that are there")
    _add_api(parser)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `import` its arguments."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="files that `spanledger export` wrote")
    _add_api(parser)


def _add_api(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api", metavar="URL", help="the query API (default: where the settings say)")
