"""collector.http_body: whatever a body unpacks to, no more than the limit is ever unpacked."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest

from spanledger.collector.http_body import gunzip
from spanledger.schemas.errors import BadData, TooLarge
from spanledger.schemas.settings import MIB

CONTENT = random.Random(1).randbytes(700_000)


@pytest.mark.parametrize("limit", [len(CONTENT), MIB])
def test_content_is_unpacked_whole_up_to_the_limit(limit):
    assert gunzip(gzip.compress(CONTENT, 1), limit) == CONTENT


def test_one_byte_more_than_the_limit_is_too_large():
    with pytest.raises(TooLarge, match=f"SPANLEDGER_MAX_REQUEST_BYTES, {len(CONTENT) - 1} bytes"):
        gunzip(gzip.compress(CONTENT, 1), len(CONTENT) - 1)


@pytest.mark.parametrize("size", [1, 1000, 300_000])
def test_all_members_are_unpacked_and_the_limit_is_for_all_together(size):
    """Members that end within, at and beyond the pieces in which they are read."""
    parts = [CONTENT[start : start + size] for start in range(0, min(len(CONTENT), 1000 * size), size)]
    body = b"".join(gzip.compress(part, 1) for part in parts)
    content = b"".join(parts)
    assert gunzip(body, len(content)) == content
    with pytest.raises(TooLarge):
        gunzip(body, len(content) - 1)


def test_empty_content_is_content():
    assert gunzip(gzip.compress(b""), 0) == b""


def test_members_without_end_are_refused():
    """Each costs work and may hold nothing."""
    one = gzip.compress(b"")
    assert gunzip(one * 1024, 10) == b""
    with pytest.raises(BadData, match="more than 1024 gzip members"):
        gunzip(one * 1025, 10)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no gzip",
        CONTENT,
        zlib.compress(CONTENT),
        zlib.compress(CONTENT, wbits=-15),
        gzip.compress(CONTENT) + b"more",
        gzip.compress(CONTENT)[:-5] + bytes(5),
    ],
    ids=["nothing", "text", "bytes", "zlib", "deflate", "followed", "checksum"],
)
def test_what_is_not_gzip_is_bad(body):
    with pytest.raises(BadData, match="gzip"):
        gunzip(body, MIB)


@pytest.mark.parametrize("cut", [1, 8, 100, 500_000])
def test_gzip_that_ends_early_is_bad(cut):
    body = gzip.compress(CONTENT, 1)
    with pytest.raises(BadData, match="ends before its end"):
        gunzip(body[:-cut], MIB)
    with pytest.raises(BadData, match="ends before its end"):
        gunzip(body + body[:-cut], 2 * MIB)


def test_a_bomb_takes_no_more_memory_than_the_limit_and_a_little():
    """200 MiB of zeros in 200 KB, as one member and as several."""
    limit = 8 * MIB
    for body in (gzip.compress(bytes(200 * MIB), 1), gzip.compress(bytes(MIB)) * 200):
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge):
                gunzip(body, limit)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert limit / 2 < peak < limit + 3 * MIB
