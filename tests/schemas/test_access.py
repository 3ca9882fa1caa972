"""schemas.access: which key is shown, what a caller may, and who asks this machine by its own name."""

from __future__ import annotations

import pytest

from spanledger.schemas.access import SCOPES, Caller, OwnHosts, shown_key


@pytest.mark.parametrize("header", [b"Bearer the-key", b"bearer the-key", b"BEARER the-key"])
def test_the_key_is_shown_under_any_spelling_of_bearer(header):
    assert shown_key([header], []) == b"the-key"


def test_the_key_is_shown_in_a_header_of_its_own():
    assert shown_key([], [b"the-key"]) == b"the-key"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Basic the-key"],
        [b"the-key"],
        [b"Bearer the-key", b"Bearer the-key"],
        [b"Bearer wrong", b"Bearer the-key"],
    ],
)
def test_anything_else_shows_no_key(headers):
    assert shown_key(headers, []) is None


@pytest.mark.parametrize("headers", [[b""], [b"the-key", b"the-key"]])
def test_neither_does_an_empty_header_nor_one_that_comes_twice(headers):
    assert shown_key([], headers) is None


def test_two_headers_that_show_keys_show_none():
    """Which of them counts would be a guess, even where both are the same."""
    assert shown_key([b"Bearer the-key"], [b"the-key"]) is None


@pytest.mark.parametrize(("header", "shown"), [(b"Bearer  the-key", b" the-key"), (b"Bearer k ", b"k ")])
def test_a_space_belongs_to_what_is_shown(header, shown):
    assert shown_key([header], []) == shown


def test_a_scope_is_good_for_itself_only_and_admin_for_every_one():
    for scope in SCOPES:
        may = {other for other in SCOPES if Caller("p", frozenset({scope})).may(other)}
        assert may == (set(SCOPES) if scope == "admin" else {scope})


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
