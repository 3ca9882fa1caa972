"""server.checks.ports and .running: addresses that are free, taken by other programs, or cannot be had."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest

from spanledger.schemas.settings import Settings
from spanledger.server.checks import running
from spanledger.server.checks.finding import worst
from spanledger.server.checks.holders import _is_ledger
from spanledger.server.checks.ports import check_ports


@contextlib.contextmanager
def unused_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def checked(**listens: str):
    return check_ports(Settings(**({"grpc_listen": "127.0.0.1:0", "api_listen": "127.0.0.1:0"} | listens)))


def told(ports) -> str:
    return "\n".join(f"{each.level}: {each.found} → {each.advice}" for each in ports.findings)


def test_a_free_port_is_free_and_is_given_back():
    with unused_port() as port:
        listen = f"127.0.0.1:{port}"
    for _ in range(2):
        ports = checked(api_listen=listen)
        assert f"ok: SPANLEDGER_API_LISTEN={listen}: free" in told(ports)
    assert "ok: SPANLEDGER_GRPC_LISTEN=127.0.0.1:0: any free port" in told(ports)
    assert not ports.answers


@pytest.mark.parametrize("listen", ["192.0.2.1:5", "no-such-host.invalid:5"])
def test_an_address_that_is_not_this_machines_is_a_problem(listen):
    ports = check_ports(Settings(grpc_listen=listen, api_listen="127.0.0.1:0", insecure=True))
    assert worst(ports.findings) == "problem"
    assert f"SPANLEDGER_GRPC_LISTEN={listen}: cannot listen there" in told(ports)


@contextlib.contextmanager
def web_server(body: bytes) -> Iterator[str]:
    """Another program's: answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("body", [b"hello", b'{"status": "fine"}', b"[]"])
def test_a_port_of_another_program_names_it_and_the_setting_to_change(body):
    with web_server(body) as listen:
        ports = checked(api_listen=listen, grpc_listen=listen)
    assert not ports.answers
    for name in ("API", "GRPC"):
        assert f"SPANLEDGER_{name}_LISTEN={listen}: taken by " in told(ports)
        assert f"stop it, or choose another port in SPANLEDGER_{name}_LISTEN" in told(ports)
    assert f"(pid {os.getpid()})" in told(ports)
    assert "what answers is not spanledger" in told(ports)


def test_another_program_that_receives_otlp_is_not_taken_for_a_ledger():
    def export(_body: bytes, _context: object) -> bytes:
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(export)
    service, method = running._EXPORT.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        ports = checked(grpc_listen=f"127.0.0.1:{port}")
    finally:
        server.stop(0).wait()
    assert worst(ports.findings) == "problem"
    assert "it receives OTLP and is not spanledger" in told(ports)


def test_a_program_that_says_nothing_is_waited_for_and_no_longer(monkeypatch):
    monkeypatch.setattr(running, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(running.ask, "__kwdefaults__", {"timeout_s": 0.3})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        listen = f"127.0.0.1:{silent.getsockname()[1]}"
        ports = checked(api_listen=listen, grpc_listen=listen)
    assert "no answer within 0.3 s" in told(ports)
    assert worst(ports.findings) == "problem"


@pytest.mark.parametrize(
    ("listen", "to"),
    [
        ("0.0.0.0:5", ("127.0.0.1", 5)),
        ("[::]:5", ("::1", 5)),
        ("127.0.0.1:5", ("127.0.0.1", 5)),
        ("ledger.example:5", ("ledger.example", 5)),
    ],
)
def test_an_address_of_every_interface_is_asked_on_loopback(listen, to):
    assert running.reachable(listen) == to


@pytest.mark.parametrize(
    ("command", "is_ledger"),
    [
        (["/usr/bin/python3", "/usr/bin/spanledger", "serve"], True),
        (["python", "-m", "spanledger.server.cli", "serve", "--api-listen", "x"], True),
        (["/usr/bin/spanledger", "serve"], True),
        (["python", "-m", "spanledger.server.cli", "stub-provider"], False),
        (["/srv/spanledger/bin/python", "serve"], False),
        (["otelcol"], False),
        ([], False),
    ],
)
def test_a_ledger_is_known_by_its_command(command, is_ledger):
    assert _is_ledger(command) is is_ledger
