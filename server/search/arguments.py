"""The arguments of `spanledger traces` and `spanledger spans`."""

from __future__ import annotations

import argparse

# Flags that may be repeated, each with the parameter of the API that it fills.
REPEATED = {
    "service": "of this service.name",
    "name": "of this name of a span",
    "role": "LLM, EMBEDDING, TOOL, AGENT, WORKFLOW, RETRIEVER, FETCH or OTHER",
    "provider": "of this provider",
    "model": "that asked for, or got, this model",
    "status": "ok, error or unset",
    "error-type": "with this error.type",
    "user": "of this end user",
    "conversation": "of this conversation",
    "experiment": "of this experiment",
    "agent": "of this agent",
    "tool": "of this tool",
    "tag": "with this tag",
}
BOUNDS = ("duration-ms", "tokens", "cost-usd")
SORTS = ("time", "duration", "cost", "tokens")


def add_traces(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `traces` its flags."""
    _add_search(parser)


def add_spans(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `spans` its flags."""
    _add_search(parser)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Give a parser the flags that choose spans."""
    parser.add_argument(
        "--since", metavar="TIME", help="from when: an RFC 3339 time, or 90s, 30m, 2h, 7d ago"
    )
    parser.add_argument("--until", metavar="TIME", help="before when, in the same forms")
    for name, meaning in REPEATED.items():
        parser.add_argument(f"--{name}", action="append", help=f"{meaning} (repeated: any of them)")
    for name in BOUNDS:
        parser.add_argument(f"--min-{name}", metavar="N", help=f"{name} of at least N")
        parser.add_argument(f"--max-{name}", metavar="N", help=f"{name} of at most N")
    parser.add_argument(
        "--attribute",
        action="append",
        metavar="CONDITION",
        help="like 'http.status_code >= 500' or 'resource:host.name = web-1' (repeated: all of them)",
    )
    parser.add_argument("-q", metavar="TEXT", help="with this text in prompts, answers or tool traffic")


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    add_filters(parser)
    parser.add_argument("--sort", choices=SORTS, default="time", help="what comes first (default: time)")
    parser.add_argument("--asc", action="store_true", help="the oldest or smallest first")
    parser.add_argument("--count", action="store_true", help="say how many there are in all")
