"""collector.json_apart: the same answer as in this process, within its time and memory."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from otlp_json_printer import otlp_json
from otlp_requests import request, span

from spanledger.collector.json_apart import read_apart
from spanledger.collector.otlp_json import traces
from spanledger.schemas.errors import BadData, Busy, TooLarge
from spanledger.schemas.settings import MIB


def apart(read, body, *, timeout_s=60, memory=1024 * MIB) -> bytes:
    return read_apart(read, body, timeout_s=timeout_s, memory_bytes=memory)


def test_a_body_is_read_as_it_is_read_here():
    sent = request(*(span(attributes={"text": "ä" * 10_000}) for _ in range(50)))
    body = json.dumps(otlp_json(sent)).encode()
    assert apart(traces, body) == traces(body) == sent.SerializeToString()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"resourceSpans": 1}', b"[" * 100_000])
def test_what_is_bad_is_bad_in_the_same_words(body):
    with pytest.raises(BadData) as here:
        traces(body)
    with pytest.raises(BadData) as there:
        apart(traces, body)
    assert str(there.value) == str(here.value)


def test_a_body_that_needs_more_memory_is_too_large():
    """A list in three bytes of text takes 64 in memory."""
    body = b'{"x":[' + b"[]," * (10 * MIB) + b"[]]}"
    with pytest.raises(TooLarge, match=f"more memory than {400 * MIB} bytes"):
        apart(traces, body, memory=400 * MIB)


def sleeps(_: bytes) -> bytes:
    time.sleep(600)
    return b""


def dies(_: bytes) -> bytes:
    os._exit(7)


@pytest.fixture
def _findable(monkeypatch):
    """The functions above can be imported by their names in the other process."""
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parent}")
    for function in (sleeps, dies):
        monkeypatch.setattr(function, "__module__", "test_json_apart")


@pytest.mark.usefixtures("_findable")
def test_a_body_that_takes_longer_is_busy():
    with pytest.raises(Busy, match=r"longer than 3\.0 s"):
        apart(sleeps, b"", timeout_s=3)


@pytest.mark.usefixtures("_findable")
def test_a_process_that_fails_otherwise_is_an_error_of_ours():
    with pytest.raises(Exception, match="exit status 7"):
        apart(dies, b"")
