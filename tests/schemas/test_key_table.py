"""schemas.key_table: a key is seen once, what is stored of it opens nothing, and a revocation is for good."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from spanledger.schemas.database import connect
from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.key_table import create_key, revoke_key, stored_keys


@pytest.fixture
def client(own_target):
    with closing(connect(own_target)) as client:
        yield client


def test_a_key_has_256_random_bits_behind_an_id_and_only_its_hash_is_stored(client):
    key, row = create_key(client, "alpha", "ci", ["write", "ingest"])
    other, _ = create_key(client, "alpha", "ci", ["ingest"])
    assert re.fullmatch(r"sl_[0-9a-f]{12}_[0-9a-f]{64}", key)
    assert key.split("_")[1] == row.id
    assert other.split("_")[2] != key.split("_")[2]
    assert stored_keys(client, "alpha")[1] == row
    assert row.hash == sha256(key.encode()).hexdigest()
    assert row.scopes == ["ingest", "write"]
    stored = client.query("SELECT * FROM api_keys").result_rows
    assert key.split("_")[2] not in str(stored)


def test_keys_are_listed_by_project_the_newest_first(client):
    made = [create_key(client, project, name, ["read"])[1] for project, name in ("a1", "b1", "a2", "b2")]
    assert [row.name for row in stored_keys(client, "a")] == ["2", "1"]
    assert stored_keys(client) == made[::-1]
    assert stored_keys(client, "' OR 1=1 --") == []


def test_a_key_that_is_revoked_stays_and_stays_so(client):
    _, row = create_key(client, "alpha", "ci", ["read"])
    revoked = revoke_key(client, row.id)
    assert revoked == row._replace(revoked=True, revoked_at=revoked.revoked_at)
    assert revoke_key(client, row.id, "alpha") == revoked
    assert stored_keys(client) == [revoked]


def test_a_key_of_another_project_is_as_one_that_is_not_there(client):
    _, row = create_key(client, "alpha", "ci", ["read"])
    for key_id, project in ((row.id, "beta"), ("000000000000", "beta"), ("' OR 1=1 --", None)):
        with pytest.raises(NotFound, match="there is no key"):
            revoke_key(client, key_id, project)
    assert not stored_keys(client)[0].revoked


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "name: a text of 1 to 200"),
        ({"name": " "}, "name: a text of 1 to 200"),
        ({"name": "x" * 201}, "name: a text of 1 to 200"),
        ({"scopes": []}, "scopes: none is given; allowed: ingest, read, write, admin"),
        ({"scopes": ["read", "root"]}, "scopes: there is no 'root'; allowed: ingest"),
        ({"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, "expires_at: a time to come"),
        ({"expires_at": datetime(2400, 1, 1, tzinfo=UTC)}, "expires_at: a time to come"),
    ],
)
def test_what_is_wrong_with_a_new_key_is_named_and_nothing_stored(client, wrong, words):
    with pytest.raises(BadData, match=words):
        create_key(client, **({"project": "alpha", "name": "ci", "scopes": ["read"]} | wrong))
    assert stored_keys(client) == []
