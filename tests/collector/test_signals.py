"""collector.signals: every entry is what opentelemetry-proto calls it."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool

from spanledger.collector.signals import SIGNALS


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_a_signal_is_named_as_in_the_protocol(signal):
    service = descriptor_pool.Default().FindServiceByName(signal.grpc_service)
    export = service.methods_by_name["Export"]
    assert export.input_type is signal.request.DESCRIPTOR
    assert export.output_type is signal.response.DESCRIPTOR
    partial = signal.response.DESCRIPTOR.fields_by_name["partial_success"].message_type
    assert set(partial.fields_by_name) == {signal.rejected_field, "error_message"}
    assert signal.http_path == f"/v1/{signal.name}"


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_an_empty_json_request_is_an_empty_request(signal):
    assert signal.request.FromString(signal.from_json(b"{}")) == signal.request()


def test_no_two_signals_share_a_path_or_a_service():
    assert len({signal.http_path for signal in SIGNALS}) == len(SIGNALS)
    assert len({signal.grpc_service for signal in SIGNALS}) == len(SIGNALS)
