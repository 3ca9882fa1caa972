"""TLS and mutual TLS on both receivers, with the official exporters of Python and other real clients."""

from __future__ import annotations

import ssl
from typing import Any

import grpc
import httpx
import pytest
from certificates import make_certificates
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stores import Kept


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _no_authorities_of_this_machine(monkeypatch):
    """requests, which the HTTP exporter sends with, prefers these to what it is told."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def stored() -> Kept:
    return Kept()


@pytest.fixture(params=[False, True], ids=["tls", "mutual-tls"])
def mutual(request) -> bool:
    return request.param


@pytest.fixture
def secured(collect, stored, certificates, mutual):
    settings = {"otlp_http_header_timeout_s": 0.5, "api_key": "the-key"}
    with collect([stored], **settings, **certificates.settings(mutual=mutual)) as collector:
        yield collector


def exported(exporter: Any) -> SpanExportResult:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("tests").start_span("work").end()
    provider.shutdown()
    try:
        return exporter.export(memory.get_finished_spans())
    finally:
        exporter.shutdown()


def over_grpc(port: int, certificates: Any, shown: str) -> SpanExportResult:
    certificate, key = getattr(certificates, shown, (None, None))
    credentials = grpc.ssl_channel_credentials(
        certificates.ca.read_bytes(), key and key.read_bytes(), certificate and certificate.read_bytes()
    )
    headers = {"authorization": "Bearer the-key"}
    return exported(
        GrpcExporter(f"https://localhost:{port}", credentials=credentials, headers=headers, timeout=2)
    )


def over_http(port: int, certificates: Any, shown: str) -> SpanExportResult:
    certificate, key = (str(path) if path else None for path in getattr(certificates, shown, (None, None)))
    return exported(
        HttpExporter(
            f"https://localhost:{port}/v1/traces",
            certificate_file=str(certificates.ca),
            client_certificate_file=certificate,
            client_key_file=key,
            headers={"Authorization": "Bearer the-key"},
            timeout=2,
        )
    )


@pytest.mark.parametrize("shown", ["nothing", "client", "stranger"])
def test_the_official_exporters_are_served_where_they_show_what_is_asked_for(
    secured, stored, certificates, mutual, shown
):
    # Without mutual TLS nobody looks at what a client shows.
    welcome = shown == "client" or not mutual
    expected = SpanExportResult.SUCCESS if welcome else SpanExportResult.FAILURE
    assert over_grpc(secured.port, certificates, shown) is expected
    assert over_http(secured.http_port, certificates, shown) is expected
    assert len(stored.kept) == (2 if welcome else 0)


def test_a_server_of_an_unknown_authority_is_refused_by_clients(secured, stored, certificates, tmp_path):
    """That is: the certificate is the one of the settings."""
    other = make_certificates(tmp_path)
    other.client = certificates.client
    assert over_grpc(secured.port, other, "client") is SpanExportResult.FAILURE
    assert over_http(secured.http_port, other, "client") is SpanExportResult.FAILURE
    assert stored.kept == []


def test_plain_text_is_not_served(secured, stored):
    with pytest.raises(httpx.TransportError), httpx.Client(trust_env=False) as client:
        client.post(f"http://localhost:{secured.http_port}/v1/traces")
    with secured.sender(key="the-key") as sender:
        assert sender.send(b"").code == "UNAVAILABLE"


def test_http_1_1_is_what_is_spoken(secured, certificates, mutual):
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(*certificates.client)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with httpx.Client(verify=context, trust_env=False, headers={"Authorization": "Bearer the-key"}) as client:
        answer = client.post(
            f"https://localhost:{secured.http_port}/v1/traces",
            headers={"content-type": "application/x-protobuf"},
        )
    assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


def test_a_client_that_never_greets_loses_its_connection(secured, wire):
    with wire(secured) as silent:
        assert silent.rest() == b""


def test_a_client_that_is_silent_after_its_greeting_loses_its_connection(secured, certificates, wire):
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(*certificates.client)
    with wire(secured) as silent:
        silent.secure(context)
        silent.send(b"POST /v1/traces HTTP/1.1\r\n")
        assert silent.rest() == b""
