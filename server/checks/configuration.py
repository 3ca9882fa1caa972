"""The settings: misspelt ones, what they open to whom, and limits that contradict each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import psutil

from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.settings import (
    MIB,
    Settings,
    is_loopback,
    known_settings,
    split_listen,
    unknown_variables,
)
from spanledger.server.checks.finding import Finding, ok, problem, warning

# OTLP exporters give up after so long, the retries included.
_EXPORTERS_S = 10.0
_SHORT_KEY = 16


def check_variables(flags: dict[str, Any]) -> tuple[Settings | None, list[Finding]]:
    """The settings where they can be read, and what is wrong with the variables and flags."""
    findings = [
        problem("settings", sentence.partition(";")[0], sentence.partition("; ")[2])
        for sentence in unknown_variables()
    ]
    findings += _misspelt_prefixes()
    try:
        settings = known_settings(**flags)
    except Misconfigured as error:
        return None, [
            *findings,
            problem("settings", str(error), "`spanledger settings` says what is allowed"),
        ]
    chosen = ", ".join(
        f"SPANLEDGER_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if getattr(settings, name) != field.default
    )
    return settings, [*findings, ok("settings", f"set: {chosen}" if chosen else "all at their defaults")]


def _misspelt_prefixes() -> Iterator[Finding]:
    known = [f"SPANLEDGER_{name.upper()}" for name in Settings.model_fields]
    for variable in os.environ:
        near = get_close_matches(variable.upper(), known, n=1, cutoff=0.9)
        if near and not variable.upper().startswith("SPANLEDGER_"):
            yield warning("settings", f"{variable} means nothing here", f"did you mean {near[0]}?")


def check_exposure(settings: Settings) -> list[Finding]:
    """Who can connect, and what stands in their way."""
    opened = [
        f"SPANLEDGER_{name.upper()}={value}"
        for name, value in listens(settings).items()
        if not is_loopback(split_listen(value)[0])
    ]
    return [*_opened(settings, opened), *_key(settings, opened)]


def _opened(settings: Settings, opened: list[str]) -> Iterator[Finding]:
    where = ", ".join(opened)
    wrong = settings.open_door()
    if wrong:
        what, _, advice = wrong.partition(": ")
        yield warning("exposure", what, f"a ledger without keys of its own does not start so: {advice}")
        return
    if settings.insecure:
        advice = "set SPANLEDGER_API_KEY and drop SPANLEDGER_INSECURE"
        found = (
            f"anybody who reaches {where} may read and write" if opened else "any web page may ask this API"
        )
        yield warning("exposure", f"SPANLEDGER_INSECURE: {found}", advice)
    elif opened:
        yield warning(
            "exposure",
            f"{where}: other machines can connect; key and prompts cross the network in plain text",
            "put a proxy with TLS in front, or listen on 127.0.0.1",
        )
    else:
        yield ok("exposure", "only programs on this machine can connect")


def _key(settings: Settings, opened: list[str]) -> Iterator[Finding]:
    if settings.api_key is None:
        return
    if len(settings.api_key.get_secret_value()) < _SHORT_KEY:
        told = warning if opened else _as_ok
        yield told("key", f"set, shorter than {_SHORT_KEY} characters", "choose a long random one")
    else:
        yield ok("key", "set")


def _as_ok(check: str, found: str, _advice: str) -> Finding:
    return ok(check, found)


def check_limits(settings: Settings) -> list[Finding]:
    """Limits that contradict each other, the machine, or what senders do."""
    return list(_contradictions(settings)) or [ok("limits", "they fit together")]


def _contradictions(settings: Settings) -> Iterator[Finding]:
    addresses = listens(settings)
    for name, address in addresses.items():
        twins = [other for other in addresses if addresses[other] == address and split_listen(address)[1]]
        if len(twins) > 1 and name == twins[0]:
            both = " and ".join(f"SPANLEDGER_{twin.upper()}" for twin in twins)
            yield problem("limits", f"{both} are both {address}", "give each a port of its own")
    queue = settings.queue_bytes
    for name in ("batch_bytes", "max_request_bytes"):
        value = getattr(settings, name)
        if value > queue:
            yield warning(
                "limits",
                f"SPANLEDGER_{name.upper()}={value} is more than SPANLEDGER_QUEUE_BYTES={queue} holds",
                f"set SPANLEDGER_QUEUE_BYTES to at least {value}",
            )
    memory = psutil.virtual_memory().total
    if queue > memory / 2:
        yield warning(
            "limits",
            f"SPANLEDGER_QUEUE_BYTES={queue} is more than half of this machine's memory "
            f"({memory // MIB} MiB)",
            f"set it to {memory // 4} or less",
        )
    store_s = settings.store_timeout_s
    if settings.batch_wait_ms / 1000 >= store_s:
        yield problem(
            "limits",
            f"SPANLEDGER_BATCH_WAIT_MS={settings.batch_wait_ms} is not less than SPANLEDGER_STORE_TIMEOUT_S="
            f"{store_s:g}: a request that waits for company is given up before its insert",
            "lower SPANLEDGER_BATCH_WAIT_MS",
        )
    if store_s > _EXPORTERS_S - 3:
        yield warning(
            "limits",
            f"SPANLEDGER_STORE_TIMEOUT_S={store_s:g} leaves {_EXPORTERS_S - store_s:g} s of the "
            f"{_EXPORTERS_S:g} s after which exporters give up: no time for a retry",
            "set it to 5",
        )
    if settings.shutdown_timeout_s * 0.8 < store_s:
        yield warning(
            "limits",
            f"SPANLEDGER_SHUTDOWN_TIMEOUT_S={settings.shutdown_timeout_s:g}: an insert may take "
            f"{store_s:g} s and is left four fifths of that",
            f"set it to {store_s * 1.25:g} or more",
        )


def listens(settings: Settings) -> dict[str, str]:
    """Every address to listen on, by the name of its setting."""
    return {name: getattr(settings, name) for name in Settings.model_fields if name.endswith("_listen")}
