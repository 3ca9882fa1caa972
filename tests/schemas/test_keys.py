"""schemas.keys: who is let in while keys are made, revoked, run out, and the database is away."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from processes import wait_until

from spanledger.schemas import keys as module
from spanledger.schemas.access import SCOPES
from spanledger.schemas.database import connect, parse_target
from spanledger.schemas.errors import Busy, Forbidden, Unauthenticated
from spanledger.schemas.key_table import create_key, revoke_key
from spanledger.schemas.keys import Keys
from spanledger.schemas.settings import Settings

AWAY = parse_target("clickhouse://127.0.0.1:9/spanledger")


@pytest.fixture
def client(own_target):
    with closing(connect(own_target)) as client:
        yield client


@pytest.fixture
def make_keys(own_target):
    made = []

    def make(target=own_target, **settings):
        keys = Keys(Settings(**settings), target)
        made.append(keys)
        return keys

    yield make
    for keys in made:
        keys.stop()


@pytest.fixture
def keys(make_keys):
    keys = make_keys(project="of-the-settings")
    keys.read()
    return keys


def shown(key):
    return [b"Bearer " + key.encode()]


def test_a_ledger_without_keys_is_open_to_everything_in_the_project_of_the_settings(keys):
    everybody = keys.open_to
    assert (everybody.project, everybody.root) == ("of-the-settings", True)
    assert keys.caller([], []) == keys.caller(shown("any")) == everybody
    assert everybody.scopes == set(SCOPES)


def test_the_first_key_closes_it_and_lets_in_to_its_project_only(keys, client):
    key, _ = create_key(client, "alpha", "ci", ["ingest", "read"])
    keys.read()
    assert keys.open_to is None
    caller = keys.caller(shown(key))
    assert (caller.project, caller.scopes, caller.root) == ("alpha", {"ingest", "read"}, False)
    assert keys.caller([], [key.encode()]) == caller
    assert keys.sender(shown(key)) == "alpha"
    for wrong in ([], shown(""), shown("sl_"), shown(key[:-1]), shown(key + "0"), shown(key.upper())):
        with pytest.raises(Unauthenticated):
            keys.caller(wrong)


def test_who_may_not_send_is_told_which_scope_that_takes(keys, client):
    key, _ = create_key(client, "alpha", "page", ["read", "write"])
    keys.read()
    with pytest.raises(Forbidden, match="the scope ingest"):
        keys.sender(shown(key))


def test_a_ledger_whose_only_key_is_revoked_stays_closed(keys, client, make_keys):
    key, row = create_key(client, "alpha", "ci", ["admin"])
    revoke_key(client, row.id)
    after_a_restart = make_keys()
    for each in (keys, after_a_restart):
        each.read()
        assert each.open_to is None
        for header in ([], shown(key)):
            with pytest.raises(Unauthenticated):
                each.caller(header)


def test_a_key_is_good_until_it_expires(keys, client):
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    key, _ = create_key(client, "alpha", "ci", ["read"], soon)
    later, _ = create_key(client, "alpha", "ci", ["read"], soon + timedelta(days=1))
    keys.read()
    assert keys.caller(shown(key)).project == "alpha"
    wait_until(lambda: datetime.now(UTC) > soon, 5)
    with pytest.raises(Unauthenticated):
        keys.caller(shown(key))
    assert keys.caller(shown(later)).project == "alpha"


def test_a_key_that_is_forgotten_lets_nobody_in_whatever_was_read_before(keys, client):
    key, row = create_key(client, "alpha", "ci", ["read"])
    keys.read()
    keys.forget(row.id)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            keys.caller(shown(key))
        keys.read()  # finds a row that is not revoked, as one that began before the revocation would


def test_what_another_process_makes_and_revokes_holds_here_soon(keys, client):
    keys.start()
    key, row = create_key(client, "alpha", "ci", ["read"])
    wait_until(lambda: keys.open_to is None, 10)
    assert keys.caller(shown(key)).project == "alpha"
    revoke_key(client, row.id)

    def refused():
        try:
            keys.caller(shown(key))
        except Unauthenticated:
            return True
        return False

    wait_until(refused, 10)


def test_the_root_key_is_good_for_everything_with_the_database_away(make_keys):
    keys = make_keys(AWAY, api_key="the root key", project="of-the-settings")
    with pytest.raises(Busy):
        keys.read()
    caller = keys.caller(shown("the root key"))
    assert (caller.project, caller.root, caller.scopes) == ("of-the-settings", True, set(SCOPES))
    with pytest.raises(Unauthenticated):
        keys.caller([])
    # It may be one of the table.
    with pytest.raises(Busy):
        keys.caller(shown("another key"))


def test_a_process_that_never_read_the_keys_lets_nobody_in(make_keys):
    keys = make_keys(AWAY)
    keys.start()
    keys.wait(30)
    assert keys.open_to is None
    for header in ([], shown("any")):
        with pytest.raises(Busy, match="the keys cannot be read"):
            keys.caller(header)


def test_keys_that_were_read_are_good_for_a_while_without_the_database(keys, client, monkeypatch):
    key, _ = create_key(client, "alpha", "ci", ["read"])
    keys.read()
    monkeypatch.setattr(module, "stored_keys", _away)
    with pytest.raises(Busy):
        keys.read()
    assert keys.caller(shown(key)).project == "alpha"
    monkeypatch.setattr(module, "TRUSTED_S", 0)
    with pytest.raises(Busy):
        keys.caller(shown(key))


def test_a_ledger_that_was_open_stays_so_without_the_database(keys, monkeypatch):
    """Whoever watches it wants its metrics just then."""
    monkeypatch.setattr(module, "stored_keys", _away)
    monkeypatch.setattr(module, "TRUSTED_S", 0)
    with pytest.raises(Busy):
        keys.read()
    assert keys.open_to is not None


def _away(_client):
    raise OSError("no route to the database")


def test_when_the_database_is_back_the_keys_are_read_again(keys, client, monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(module, "stored_keys", _away)
        keys.start()
        time.sleep(0.1)
        create_key(client, "alpha", "ci", ["read"])
        assert keys.open_to is not None
    wait_until(lambda: keys.open_to is None, 10)


def test_without_a_database_the_key_of_the_settings_is_the_only_one():
    assert Keys(Settings()).open_to is not None
    keys = Keys(Settings(api_key="schl\u00fcssel"))
    keys.read()
    assert keys.caller(shown("schl\u00fcssel")).root
    with pytest.raises(Unauthenticated):
        keys.caller(shown("schluessel"))
