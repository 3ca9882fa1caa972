"""The table of keys: made, listed and revoked.

A key is `sl_`, an id that is no secret, and 256 random bits. Whoever makes one sees it once; what is stored
is the SHA-256 of it. A slow hash guards secrets that can be guessed, and these cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_hex
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.schemas.access import SCOPES, Scope
from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.prices.tables import in_utc

PREFIX = "sl_"
_ID_BYTES, _SECRET_BYTES = 6, 32
_LONGEST_NAME = 200
_LATEST = datetime(2262, 1, 1, tzinfo=UTC)


class KeyRow(NamedTuple):
    """A key as it is stored."""

    id: str
    hash: str
    project: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked: bool
    revoked_at: datetime | None


def hash_of(key: bytes) -> bytes:
    """What is stored of a key, and what it is found by."""
    return sha256(key).digest()


def create_key(
    client: Client, project: str, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[str, KeyRow]:
    """Store a new key for a project; the key itself, which nothing can tell again, and its row.

    expires_at: with a time zone. BadData names what is wrong. That there is such a project is for the
    caller to know.
    """
    now = datetime.now(UTC)
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise BadData(
            f"name: a text of 1 to {_LONGEST_NAME} characters is needed, by which people know the key"
        )
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        what = f"there is no {', '.join(map(repr, sorted(unknown)))}" if unknown else "none is given"
        raise BadData(f"scopes: {what}; allowed: {', '.join(SCOPES)}")
    if expires_at is not None and not now < expires_at < _LATEST:
        raise BadData("expires_at: a time to come is needed")
    key_id = token_hex(_ID_BYTES)
    key = f"{PREFIX}{key_id}_{token_hex(_SECRET_BYTES)}"
    row = KeyRow(
        key_id,
        hash_of(key.encode()).hex(),
        project,
        name,
        [scope for scope in SCOPES if scope in scopes],
        now,
        expires_at,
        revoked=False,
        revoked_at=None,
    )
    _insert(client, row)
    return key, row


def revoke_key(client: Client, key_id: str, project: str | None = None) -> KeyRow:
    """Mark a key as revoked; one that is revoked already stays as it is.

    project: in which it must be; None: any. NotFound where there is none.
    """
    found = [row for row in stored_keys(client, project) if row.id == key_id]
    if not found:
        raise NotFound(f"there is no key {key_id!r}")
    [row] = found
    if row.revoked:
        return row
    revoked = row._replace(revoked=True, revoked_at=datetime.now(UTC))
    _insert(client, revoked)
    return revoked


def stored_keys(client: Client, project: str | None = None) -> list[KeyRow]:
    """The keys of a project, or of all, the newest first; those that are revoked or expired, too."""
    condition = "" if project is None else "WHERE project = {project:String} "
    rows = client.query(
        f"SELECT {', '.join(KeyRow._fields)} FROM api_keys FINAL {condition}ORDER BY created_at DESC, id",  # noqa: S608
        parameters={} if project is None else {"project": project},
    ).result_rows
    return [KeyRow(*in_utc(row)) for row in rows]


def _insert(client: Client, row: KeyRow) -> None:
    client.insert("api_keys", [row], column_names=KeyRow._fields, settings={"async_insert": 0})
