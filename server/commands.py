"""The commands that need the server part: each turns its arguments into one call."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from spanledger.schemas.errors import SpanledgerError
from spanledger.schemas.settings import Settings, read_settings, split_listen

if TYPE_CHECKING:
    from spanledger.server.access.ledgers import Ledger
    from spanledger.server.reading import Api


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Give the parser a flag for every setting."""
    for name, field in Settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        # Values are checked by Settings, whichever way they come.
        parser.add_argument(flag, dest=f"setting_{name}", metavar="VALUE", help=field.description)


def execute(chosen: argparse.Namespace) -> int:
    """Run the chosen command; a failure that we know is one line on standard error and exit code 2."""
    try:
        return _COMMANDS[chosen.command](chosen)
    except SpanledgerError as error:
        sys.stderr.write(f"spanledger {chosen.command}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _serve(chosen: argparse.Namespace) -> int:
    from spanledger.server.logs import configure_logs
    from spanledger.server.serve import serve

    settings = read_settings(**_flags(chosen))
    configure_logs(settings.log_level, settings.log_format)
    asyncio.run(serve(settings, chosen.only))
    _leave_hanging_threads()
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from spanledger.server.doctor import doctor

    return doctor(_flags(chosen), as_json=chosen.json)


def _flags(chosen: argparse.Namespace) -> dict[str, str]:
    """The settings that were given as flags."""
    return {
        name.removeprefix("setting_"): value
        for name, value in vars(chosen).items()
        if name.startswith("setting_") and value is not None
    }


def _leave_hanging_threads() -> None:
    """End now if a thread still waits for a database that does not answer: the interpreter would wait too."""
    hanging = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in hanging):
        sys.stderr.flush()
        os._exit(0)


def _settings(_chosen: argparse.Namespace) -> int:
    for name, field in Settings.model_fields.items():
        sys.stdout.write(f"SPANLEDGER_{name.upper()}={_shown(field.default)}\n    {field.description}\n")
    return 0


def _shown(default: Any) -> str:
    return "" if default is None or isinstance(default, SecretStr) else str(default)


def _demo(chosen: argparse.Namespace) -> int:
    from spanledger.server.demo import demo

    return demo(real=chosen.real)


def _traces(chosen: argparse.Namespace) -> int:
    from spanledger.server.search.actions import show_traces

    return show_traces(_api(chosen), chosen)


def _spans(chosen: argparse.Namespace) -> int:
    from spanledger.server.search.actions import show_spans

    return show_spans(_api(chosen), chosen)


def _stats(chosen: argparse.Namespace) -> int:
    from spanledger.server.stats.actions import show_stats

    return show_stats(_api(chosen), chosen)


def _conversations(chosen: argparse.Namespace) -> int:
    from spanledger.server.sessions.actions import show_conversations

    return show_conversations(_api(chosen), chosen)


def _users(chosen: argparse.Namespace) -> int:
    from spanledger.server.sessions.actions import show_users

    return show_users(_api(chosen), chosen)


def _tree(chosen: argparse.Namespace) -> int:
    from spanledger.server.reading import show

    show(_api(chosen).tree(chosen.trace_id))
    return 0


def _prices(chosen: argparse.Namespace) -> int:
    from spanledger.server.prices.actions import run

    return run(_api(chosen), chosen)


def _export(chosen: argparse.Namespace) -> int:
    from spanledger.server.files.actions import export_files

    return export_files(_api(chosen), chosen)


def _import(chosen: argparse.Namespace) -> int:
    from spanledger.server.files.actions import import_files

    return import_files(_api(chosen), chosen)


def _projects(chosen: argparse.Namespace) -> int:
    from spanledger.server.access.actions import run_projects

    return _in_ledger(chosen, run_projects)


def _keys(chosen: argparse.Namespace) -> int:
    from spanledger.server.access.actions import run_keys

    return _in_ledger(chosen, run_keys)


def _in_ledger(chosen: argparse.Namespace, work: Callable[[Ledger, argparse.Namespace], None]) -> int:
    """Do it in the embedded database, where no server has it open; else through the API."""
    from spanledger.schemas.database import held_by, parse_target
    from spanledger.server.access.ledgers import Running, resting

    settings = read_settings()
    target = parse_target(settings.database)
    if chosen.api or not target.embedded or held_by(target) is not None:
        work(Running(_api(chosen)), chosen)
    else:
        with resting(target, settings.project, create=chosen.action == "create") as ledger:
            work(ledger, chosen)
    return 0


def _sql(chosen: argparse.Namespace) -> int:
    from spanledger.server.sql.actions import run

    return run(_api(chosen), chosen)


def _delete(chosen: argparse.Namespace) -> int:
    from spanledger.server.upkeep.removal import delete

    return delete(_api(chosen), chosen)


def _retention(chosen: argparse.Namespace) -> int:
    from spanledger.server.upkeep.removal import retention

    return retention(_api(chosen), chosen)


def _api(chosen: argparse.Namespace) -> Api:
    """The query API that the arguments or the settings say."""
    from spanledger.server.reading import Api

    return Api(_api_url(chosen), _api_key())


def _api_url(chosen: argparse.Namespace) -> str:
    if chosen.api:
        return str(chosen.api)
    settings = read_settings()
    host, port = split_listen(settings.api_listen)
    return f"{'https' if settings.tls_certificate else 'http'}://{host}:{port}"


def _api_key() -> str | None:
    key = read_settings().api_key
    return key.get_secret_value() if key else None


def _stub_provider(chosen: argparse.Namespace) -> int:
    from spanledger.server.stub_provider import serve

    serve(chosen.host, chosen.port)
    return 0


_COMMANDS = {
    "serve": _serve,
    "doctor": _doctor,
    "settings": _settings,
    "demo": _demo,
    "traces": _traces,
    "spans": _spans,
    "stats": _stats,
    "conversations": _conversations,
    "users": _users,
    "tree": _tree,
    "prices": _prices,
    "export": _export,
    "import": _import,
    "projects": _projects,
    "keys": _keys,
    "sql": _sql,
    "delete": _delete,
    "retention": _retention,
    "stub-provider": _stub_provider,
}
