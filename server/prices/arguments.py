"""The arguments of `spanledger prices`."""

from __future__ import annotations

import argparse

SOURCES = ("genai-prices", "litellm")


def add_prices(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `prices` its commands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        made.add_argument("--api", metavar="URL", help="the query API (default: where the settings say)")
        return made

    listed = command("list", "list models with their prices of today")
    listed.add_argument("model", nargs="?", metavar="MODEL", help="models with this in their id")
    listed.add_argument("--provider", help="models of this provider only")
    listed.add_argument("--source", choices=SOURCES, help="models of this source's list only")
    listed.add_argument("--limit", type=int, default=50, help="how many at most (default: 50)")
    listed.add_argument("--lists", action="store_true", help="list the price lists instead of the models")
    shown = command("show", "show everything that is published of a model")
    shown.add_argument("provider", metavar="PROVIDER")
    shown.add_argument("model", metavar="MODEL")
    match = command("match", "show what a call that names such a model is priced by")
    match.add_argument("model", metavar="MODEL")
    match.add_argument("--provider", help="the provider that the call names")
    match.add_argument("--tier", help="batch, flex, priority ...")
    match.add_argument("--host", help="the address that was called, where no provider is named")
    match.add_argument("--project", help="whose overrides to take (default: the server's project)")
    match.add_argument("--at", metavar="TIME", help="when the call began (default: now)")
    _add_set(command("set", "set a price of your own, a discount, or an alias"))
    removed = command("remove", "remove an override")
    removed.add_argument("id", metavar="ID", help="as `spanledger prices overrides` shows it")
    _add_who(removed)
    overrides = command("overrides", "list what was set over the lists")
    overrides.add_argument("--removed", action="store_true", help="those that were removed as well")
    imported = command("import", "load a price list from a file")
    imported.add_argument("file", metavar="FILE")
    imported.add_argument("--source", choices=SOURCES, default=SOURCES[0], help="what the file is")
    command("update", "have the server fetch the current list of genai-prices")
    unpriced = command("unpriced", "list models without a price")
    _add_time(unpriced, needed=False)
    unpriced.add_argument("--limit", type=int, default=100, help="how many at most (default: 100)")
    _add_reprice(command("reprice", "price calls anew that are stored"))
    explained = command("explain", "show where the cost of a span comes from, as a bill")
    explained.add_argument("trace_id", metavar="TRACE_ID")
    explained.add_argument("span_id", metavar="SPAN_ID")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model's name, or what --match says of it")
    parser.add_argument("--provider", default="", help="of this provider only")
    parser.add_argument(
        "--match",
        default="equals",
        choices=("equals", "starts_with", "ends_with", "contains", "regex"),
        help="how the name is compared (default: equals)",
    )
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="UNIT=USD",
        help="a price for the unit's usual number, such as input_tokens=0.15 (for a million); repeatable",
    )
    parser.add_argument("--discount", metavar="PERCENT", help="off what the list says")
    parser.add_argument("--alias", default="", metavar="PROVIDER:MODEL", help="price it as this model")
    _add_time(parser, needed=False)
    parser.add_argument("--project", default="", help="for this project only")
    parser.add_argument("--note", default="", help="kept with it")
    _add_who(parser)


def _add_reprice(parser: argparse.ArgumentParser) -> None:
    _add_time(parser, needed=True)
    parser.add_argument("--provider", default="", help="calls of this provider only")
    parser.add_argument("--model", default="", help="calls that asked for, or got, this model only")
    parser.add_argument("--unpriced-only", action="store_true", help="calls without a known cost only")
    parser.add_argument("--why", default="", metavar="REASON", help="kept with the run; needed to write")
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")
    parser.add_argument("--yes", action="store_true", help="do not ask before writing")
    _add_who(parser)


def _add_time(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    form = "2026-01-31 or 2026-01-31T09:30:00Z"
    parser.add_argument(
        "--from", dest="since", metavar="TIME", required=needed, help=f"from this time on ({form})"
    )
    parser.add_argument("--to", dest="until", metavar="TIME", help="until before this time (default: now)")


def _add_who(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", metavar="NAME", help="who does this (default: the user's name)")
