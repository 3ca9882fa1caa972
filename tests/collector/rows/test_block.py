"""collector.rows.block: requests become a block from which a reader finds what was sent."""

from __future__ import annotations

from itertools import count
from random import Random
from uuid import uuid4

import pytest
from ledger_rows import Row, Sent, expected_cost, expected_rows, good, last_of_each, spans_of, stored_rows
from otlp_requests import llm_span, request, span
from random_requests import a_request

from spanledger.collector.rows import block, native
from spanledger.collector.rows.block import Blocks, Limits, Request
from spanledger.collector.rows.columns import Made
from spanledger.collector.rows.tables import SPANS
from spanledger.schemas.errors import BadData

LIMITS = Limits(value_bytes=1 << 20, attributes=1024, key_characters=256, depth=32)
NOT_COMPARED = ("price_model", "price_version")  # the price list's, see tests/schemas/test_prices.py


def random_batch(seed: int, requests: int, *projects: str) -> list[Sent]:
    chance, numbers = Random(seed), count(1)
    ids = (next(numbers).to_bytes(8, "big") for _ in count())
    made = [
        Sent(a_request(chance, ids), chance.choice(projects), chance.randrange(1, 1 << 62))
        for _ in range(requests)
    ]
    # Of a request of bad spans only nothing gets past the gate.
    return [one for one in made if any(map(good, spans_of([one])))]


def differences(found: dict[bytes, Row], sent: list[Sent]) -> list[tuple]:
    """Span, column, what is stored and what should be, wherever these two are not the same."""
    expected = expected_rows(sent)
    own = {span.span_id: last_of_each(span.attributes) for span in spans_of(sent)}
    wrong = [(span_id, "there", span_id in found, span_id in expected) for span_id in found.keys() ^ expected]
    for span_id in found.keys() & expected:
        wanted = expected[span_id]
        wanted |= expected_cost(wanted, own[span_id])
        row = found[span_id]
        assert row.keys() == {*wanted, *NOT_COMPARED}
        wrong += [(span_id, name, row[name], want) for name, want in wanted.items() if row[name] != want]
    return wrong


def test_every_column_that_is_written_is_in_the_table_with_this_type_and_every_other_is_an_alias(
    prices, reader
):
    """The server converts what it is given in another type, at a cost, and fills up what is missing."""
    written: list[tuple[str, str]] = []
    columns = SPANS._replace(columns=lambda m, n, p: _noted(SPANS.columns(m, n, p), written))
    blocks = Blocks(columns, LIMITS, prices)
    sent = request(llm_span())
    blocks.make([Request(sent.SerializeToString(), "p", 1, 1)])
    in_table = reader.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'spans' "
        "AND default_kind != 'ALIAS'"
    ).result_rows
    assert sorted(written) == sorted(in_table)


def _noted(made: Made, written: list[tuple[str, str]]) -> Made:
    written += [(name, kind) for name, kind, _ in made.columns]
    return made


@pytest.mark.parametrize("seed", range(40))
def test_a_reader_finds_what_was_sent(put_spans, reader, seed):
    """Any values, resources, scopes, events and links; good spans among bad; several projects."""
    projects = [f"{uuid4().hex}-{n}" for n in range(3)]
    sent = random_batch(seed, 30, *projects)
    made = put_spans(sent)
    found: dict[bytes, Row] = {}
    for project in projects:
        found |= stored_rows(reader, project)
    assert made[1:5] == (len(found), 0, 0, 0)
    assert differences(found, sent) == []


def test_arrays_that_are_too_short_at_first_change_nothing(put_spans, make_blocks, reader, monkeypatch):
    """Whichever of them, alone and together, and whatever else the memory held before."""
    tiny = {"text": 1.0, "strings": 1 << 8, "keys": 1 << 7, "entries": 1e-9, "nested": 1e-9}
    monkeypatch.setattr(block, "_stride", lambda length: int(length) + 1)
    short = make_blocks()
    for seed in range(100, 110):
        before = dict(short._sizes)
        short._kept.clear()
        short._sizes |= tiny if seed % 2 else {name: tiny[name] for name in [*tiny][seed % 5 :][:1]}
        project = uuid4().hex
        sent = random_batch(seed, 60, project)
        put_spans(sent, blocks=short)
        assert differences(stored_rows(reader, project), sent) == []
        assert any(short._sizes[name] > tiny[name] for name in tiny), before


@pytest.fixture
def repeated():
    """A small request whose resource has many attributes for its many spans."""
    return request(*(span() for _ in range(300)), resource={f"k{n}": "v" * 100 for n in range(300)})


def test_a_request_that_would_fill_the_memory_with_attributes_is_bad_data(make_blocks, monkeypatch, repeated):
    monkeypatch.setattr(block, "_MOST_ENTRIES", 1 << 16)
    blocks = make_blocks()
    with pytest.raises(BadData, match=r"that become more than 65536 attributes"):
        blocks.make([Request(repeated.SerializeToString(), "p", 1, 300)])
    assert blocks._sizes["entries"] <= 1 / 4
    assert blocks.make([Request(request(span()).SerializeToString(), "p", 1, 1)]).rows == 1


def test_a_request_that_would_become_a_block_without_bound_is_bad_data(make_blocks, monkeypatch, repeated):
    monkeypatch.setattr(native, "LARGEST_BLOCK", 1 << 22)
    blocks = make_blocks()
    with pytest.raises(BadData, match=r"a block of \d+ bytes; the most is 4194304"):
        blocks.make([Request(repeated.SerializeToString(), "p", 1, 300)])
    assert blocks.make([Request(request(span()).SerializeToString(), "p", 1, 1)]).rows == 1


def test_an_unusual_batch_does_not_make_every_later_one_expensive(make_blocks, repeated):
    blocks = make_blocks()
    assert blocks.make([Request(repeated.SerializeToString(), "p", 1, 300)]).rows == 300
    assert blocks._sizes["entries"] <= 1 / 4
