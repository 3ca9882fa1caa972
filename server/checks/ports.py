"""The addresses to listen on: free, held by a ledger that answers, or taken by another program."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from spanledger.schemas.api import LedgerState
from spanledger.schemas.settings import Settings, split_listen
from spanledger.server.checks.configuration import listens
from spanledger.server.checks.finding import Finding, ok, problem, warning
from spanledger.server.checks.holders import Holder, listener
from spanledger.server.checks.running import ask, ask_state, export_nothing, is_api

_OTHER_PORT = "stop it, or choose another port in"


@dataclass
class Ports:
    """What was found, and the state of the ledger that answers there, if one does."""

    findings: list[Finding]
    answers: bool = False
    state: LedgerState | None = None


@dataclass(frozen=True)
class _Taken:
    """An address that something listens on."""

    variable: str
    listen: str
    holder: Holder | None

    def __str__(self) -> str:
        return f"{self.variable}={self.listen}"

    @property
    def by(self) -> str:
        return str(self.holder) if self.holder else "a program that this user may not see"


def check_ports(settings: Settings) -> Ports:
    """Look at every address; ask what listens there."""
    found = Ports([])
    free: list[str] = []
    for name, listen in listens(settings).items():
        variable = f"SPANLEDGER_{name.upper()}"
        host, port = split_listen(listen)
        if port == 0:
            found.findings.append(ok("ports", f"{variable}={listen}: any free port"))
            continue
        wrong = _cannot_bind(host, port)
        if wrong is None:
            free.append(f"{variable}={listen}")
        elif wrong.errno == errno.EADDRINUSE:
            taken = _Taken(variable, listen, listener(host, port))
            found.findings += _PROBES.get(name, _only_the_holder)(settings, taken, found)
        else:
            advice = f"choose an address of this machine and a port that this user may use in {variable}"
            found.findings.append(
                problem("ports", f"{variable}={listen}: cannot listen there ({wrong.strerror})", advice)
            )
    found.findings += [_of_free(address, found) for address in free]
    return found


def _cannot_bind(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            # As the server does; a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:  # an unknown host is one too
        return error
    return None


def _of_free(address: str, found: Ports) -> Finding:
    if found.answers:
        return warning(
            "ports",
            f"{address}: nothing listens there, though a ledger is running",
            "right where it runs with --only; else give this command the flags of `spanledger serve`",
        )
    return ok("ports", f"{address}: free")


def _api(settings: Settings, taken: _Taken, found: Ports) -> list[Finding]:
    health = is_api(settings)
    if health.status != 200:
        return [_not_ours(taken, health.why or f"it answers {health.status} to /healthz")]
    found.answers = True
    answer, found.state = ask_state(settings)
    findings = [_ready(settings, taken)]
    if answer.status in (401, 403):
        findings.append(
            problem(
                "ports",
                f"{taken}: the ledger there wants another key",
                "give this command its SPANLEDGER_API_KEY",
            )
        )
    elif found.state is None and answer.status in (200, 404):
        findings.append(
            warning(
                "ports",
                f"{taken}: the ledger there is of another version",
                "restart `spanledger serve`, so that it runs what is installed",
            )
        )
    return findings


def _ready(settings: Settings, taken: _Taken) -> Finding:
    ready = ask(settings, "/readyz")
    if ready.status == 200:
        return ok("ports", f"{taken}: {taken.by} is ready")
    why = f"/readyz answers {ready.status}" if ready.status else ready.why
    return problem(
        "ports", f"{taken}: {taken.by} is alive and not ready ({why})", "see its log and the database"
    )


def _grpc(settings: Settings, taken: _Taken, _found: Ports) -> list[Finding]:
    code = export_nothing(settings)
    ours = taken.holder is None or taken.holder.is_ledger
    match code:
        case grpc.StatusCode.OK if ours:
            return [ok("ports", f"{taken}: {taken.by} receives OTLP")]
        case grpc.StatusCode.OK:
            return [_not_ours(taken, "it receives OTLP and is not spanledger")]
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED if ours:
            advice = "give this command and the senders its SPANLEDGER_API_KEY"
            return [problem("ports", f"{taken}: {taken.by} wants another key", advice)]
    return [_not_ours(taken, f"an OTLP request is answered {code.name}")]


def _only_the_holder(_settings: Settings, taken: _Taken, _found: Ports) -> list[Finding]:
    if taken.holder and taken.holder.is_ledger:
        return [ok("ports", f"{taken}: held by {taken.by}")]
    return [_not_ours(taken, "it was not asked anything")]


def _not_ours(taken: _Taken, why: str) -> Finding:
    if taken.holder and taken.holder.is_ledger:
        return problem(
            "ports", f"{taken}: {taken.by} does not answer as it should ({why})", "see its log; restart it"
        )
    return problem("ports", f"{taken}: taken by {taken.by} ({why})", f"{_OTHER_PORT} {taken.variable}")


_PROBES: dict[str, Callable[[Settings, _Taken, Ports], list[Finding]]] = {
    "api_listen": _api,
    "grpc_listen": _grpc,
}
