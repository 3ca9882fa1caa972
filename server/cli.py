"""The command `spanledger`: which commands there are, and which code each one needs.

`run` must work where only the instrumentation is installed, so nothing of the server is imported here.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version

from spanledger.server.access.arguments import add_keys, add_projects
from spanledger.server.files.arguments import add_export, add_import
from spanledger.server.prices.arguments import add_prices
from spanledger.server.search.arguments import add_spans, add_traces
from spanledger.server.sessions.arguments import add_conversations, add_users
from spanledger.server.sql.arguments import add_sql
from spanledger.server.stats.arguments import add_stats
from spanledger.server.upkeep.removal_arguments import add_delete, add_retention


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit code (2: a setting or an argument is wrong)."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["run"]:
        # What follows belongs to another program; argparse would look for its own options there.
        from spanledger.server.run import main as run

        return run(arguments[1:])
    parser, takes_settings = build_parser()
    if not arguments or arguments[0].startswith("-"):
        parser.parse_args(arguments)
        parser.print_help()
        return 0
    try:
        from spanledger.server import commands
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"spanledger {arguments[0]} needs the server part ({error.name} is missing): "
            "pip install 'spanledger[server]'\n"
        )
        return 2
    for with_settings in takes_settings:
        commands.add_settings(with_settings)
    return commands.execute(parser.parse_args(arguments))


def build_parser() -> tuple[argparse.ArgumentParser, list[argparse.ArgumentParser]]:
    """The parser of all commands, and those of the commands to which the settings are added as flags."""
    parser = argparse.ArgumentParser(prog="spanledger", description="A ledger of every LLM call.")
    parser.add_argument("--version", action="version", version=f"spanledger {version('spanledger')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run a program with its LLM calls recorded, its code unchanged")
    serve = commands.add_parser("serve", help="run the collector and the query API")
    serve.add_argument("--only", choices=("collector", "api"), help="one of them (needs a ClickHouse server)")
    doctor = commands.add_parser("doctor", help="look for what is wrong with this ledger, and say what to do")
    doctor.add_argument("--json", action="store_true", help="print what was found as JSON")
    commands.add_parser("settings", help="list the settings with their defaults and meanings")
    demo = commands.add_parser("demo", help="run an example application and show the tree of its calls")
    demo.add_argument(
        "--real", action="store_true", help="call OpenAI (needs OPENAI_API_KEY), not a local stub"
    )
    traces = commands.add_parser("traces", help="list traces, the newest first, or those that fit")
    add_traces(traces)
    spans = commands.add_parser("spans", help="list spans, the newest first, or those that fit")
    add_spans(spans)
    tree = commands.add_parser("tree", help="print the span tree of a trace")
    tree.add_argument("trace_id", metavar="TRACE_ID")
    stats = commands.add_parser("stats", help="calls, tokens, cost and times, by group and by time")
    add_stats(stats)
    conversations = commands.add_parser("conversations", help="list conversations, or show one turn by turn")
    add_conversations(conversations)
    users = commands.add_parser("users", help="list users, or show one")
    add_users(users)
    for reading in (traces, spans, tree, stats, conversations, users):
        reading.add_argument("--api", metavar="URL", help="the query API (default: where the settings say)")
    add_prices(commands.add_parser("prices", help="look up, set and load prices; explain costs, price anew"))
    add_export(commands.add_parser("export", help="write spans and log records into files"))
    add_import(commands.add_parser("import", help="store what `spanledger export` wrote"))
    add_projects(commands.add_parser("projects", help="list and make projects"))
    add_keys(commands.add_parser("keys", help="list, make and revoke keys"))
    add_sql(commands.add_parser("sql", help="ask the ledger in SQL: a table, a file or a chart"))
    add_delete(commands.add_parser("delete", help="delete traces, or all of a user or a conversation"))
    add_retention(commands.add_parser("retention", help="show or set how long spans are kept"))
    stub = commands.add_parser(
        "stub-provider", help="run a local OpenAI-compatible server with known answers"
    )
    stub.add_argument("--host", default="127.0.0.1")
    stub.add_argument("--port", type=int, default=8399)
    return parser, [serve, doctor]


if __name__ == "__main__":
    sys.exit(main())
