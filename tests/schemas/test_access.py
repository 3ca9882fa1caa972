"""schemas.access: who shows the key, and who asks this machine by its own name."""

from __future__ import annotations

import pytest

from spanledger.schemas.access import OwnHosts, needed_key, shows_key
from spanledger.schemas.settings import Settings


@pytest.mark.parametrize("header", [b"Bearer the-key", b"bearer the-key", b"BEARER the-key"])
def test_the_key_is_shown_under_any_spelling_of_bearer(header):
    assert shows_key([header], b"the-key")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer  the-key"],
        [b"Bearer the-key "],
        [b"Bearer the-ke"],
        [b"Bearer THE-KEY"],
        [b"Basic the-key"],
        [b"the-key"],
        [b"Bearer the-key", b"Bearer the-key"],
        [b"Bearer wrong", b"Bearer the-key"],
    ],
)
def test_anything_else_is_not_the_key(headers):
    assert not shows_key(headers, b"the-key")


def test_an_empty_key_opens_nothing():
    assert not shows_key([b"Bearer "], b"")


def test_the_key_that_is_needed_is_the_one_of_the_settings():
    assert needed_key(Settings(api_key="schl\u00fcssel")) == "schl\u00fcssel".encode()
    assert needed_key(Settings()) is None


@pytest.mark.parametrize(
    "host",
    [b"localhost", b"LOCALHOST:80", b"127.0.0.1", b"127.9.9.9:4318", b"[::1]", b"[::1]:80", b"ledger:1"],
)
def test_names_of_this_machine_are_its_own(host):
    assert OwnHosts("Ledger:4318").has(host)


@pytest.mark.parametrize(
    "host",
    [b"", b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil", b"[::2]:80", b"\xff"],
)
def test_other_names_are_not(host):
    assert not OwnHosts("127.0.0.1:4318").has(host)
