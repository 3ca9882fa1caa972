"""server.serve: the wiring of the parts into a process."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import closing

import httpx
import pytest
from certificates import make_certificates
from otlp_requests import request, span
from processes import running_ledger

from spanledger.schemas.database import connect
from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.key_table import create_key
from spanledger.schemas.settings import Settings
from spanledger.server.cli import main
from spanledger.server.serve import _bind, _keys, _Phase


def test_whoever_was_told_that_the_api_is_ready_can_connect():
    """The address is announced before the server's first turn in the event loop."""
    listener = _bind("127.0.0.1:0")
    try:
        socket.create_connection(listener.getsockname(), timeout=1).close()
    finally:
        listener.close()


def test_answers_of_the_api_do_not_wait_for_more_to_send():
    """Each at once: with Nagle's algorithm one took 40 ms on a connection that stays open."""

    async def delay_is_off():
        found = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                accepted = transport.get_extra_info("socket")
                found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listener = _bind("127.0.0.1:0")
        server = await asyncio.get_running_loop().create_server(Protocol, sock=listener)
        async with server:
            with closing(socket.create_connection(listener.getsockname(), timeout=1)):
                return await asyncio.wait_for(found, 5)

    assert asyncio.run(delay_is_off()) == 1


def test_beyond_loopback_a_key_of_the_ledger_is_as_good_as_that_of_the_settings(own_target):
    async def starts(**settings):
        async with _keys(own_target, Settings(api_listen="192.0.2.1:8000", **settings), _Phase(1.0)):
            return True

    with pytest.raises(Misconfigured, match="SPANLEDGER_API_LISTEN is 192"):
        asyncio.run(starts())
    assert asyncio.run(starts(api_key="the-key"))
    assert asyncio.run(starts(insecure=True))
    with closing(connect(own_target)) as client:
        create_key(client, "alpha", "a key", ["read"])
    assert asyncio.run(starts())


@pytest.fixture
def certificates(tmp_path):
    return make_certificates(tmp_path)


@pytest.mark.slow
def test_with_certificates_all_ports_speak_tls_and_ask_clients_for_theirs(tmp_path, certificates):
    settings = certificates.settings(mutual=True)
    with running_ledger(tmp_path, f"chdb://{tmp_path / 'database'}", **settings) as ledger:
        port = {part: f"https://localhost:{number}" for part, number in ledger.ports.items()}
        trusting = ssl.create_default_context(cafile=certificates.ca)
        with httpx.Client(verify=trusting, trust_env=False) as stranger:
            for part in ("otlp_http", "api"):
                with pytest.raises(httpx.TransportError):
                    stranger.get(port[part])
        showing = ssl.create_default_context(cafile=certificates.ca)
        showing.load_cert_chain(*certificates.client)
        sent = span()
        with httpx.Client(verify=showing, trust_env=False, timeout=30) as client:
            stored = client.post(
                f"{port['otlp_http']}/v1/traces",
                content=request(sent).SerializeToString(),
                headers={"content-type": "application/x-protobuf"},
            )
            assert stored.status_code == 200
            tree = client.get(f"{port['api']}/api/v1/traces/{sent.trace_id.hex()}")
            assert tree.json()["span_count"] == 1
        assert f'"url": "https://127.0.0.1:{ledger.ports["api"]}"' in ledger.log.read_text()
        assert ledger.stop() == 0


def test_a_certificate_that_cannot_be_read_ends_the_server_before_it_begins(
    tmp_path, certificates, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    certificate, key = map(str, certificates.server)
    assert main(["serve", "--tls-certificate", certificate]) == 2
    assert "SPANLEDGER_TLS_KEY is not" in capsys.readouterr().err
    assert main(["serve", "--tls-certificate", certificate, "--tls-key", f"{key}.no"]) == 2
    assert f"SPANLEDGER_TLS_KEY={key}.no: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "spanledger-data").exists()
