"""Damaged requests through gate, rows and database: none ends the process, and what the gate lets through is
stored.

A round follows from its number alone. CI runs the first ones; `make fuzz` goes on for FUZZ_SECONDS from a
number that the clock gives, with the bounds of every array checked. The number of a round that fails is told:
with FUZZ_FROM= that number it is the first one.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import uuid4

import numba
import pytest
from clickhouse_connect.driver.client import Client
from damage import damaged
from documents import add_documents
from google.protobuf.message import DecodeError
from guarded import Guarded
from ledger_rows import good
from otlp_json_printer import otlp_json
from random_requests import a_logs_request, a_request

from spanledger.collector.gate import AllRejected, check
from spanledger.collector.rows.block import Request
from spanledger.collector.signals import LOGS, TRACES, Signal
from spanledger.collector.store import Store
from spanledger.schemas.errors import BadData
from spanledger.schemas.settings import Settings

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
FROM = int(os.environ.get("FUZZ_FROM", "0"))
_ROUNDS = 12  # in CI
_REQUESTS = 60  # in a round
_DEPTH = Settings().max_attribute_depth
_MAKE = {"traces": a_request, "logs": a_logs_request}


def rounds() -> Iterator[int]:
    if not SECONDS:
        yield from range(_ROUNDS)
        return
    first = FROM or time.time_ns() // 10**6
    ends = time.monotonic() + SECONDS / 3  # three tests share it
    for number in itertools.count(first):
        if time.monotonic() > ends:
            print(f"rounds {first} to {number - 1}")
            return
        yield number


@pytest.fixture(scope="module")
def guarded() -> Guarded:
    return Guarded(1 << 20)


def sent_in(number: int, signal: Signal) -> list[bytes]:
    """The requests of a round: one in five as its library would send it, one in five through JSON.

    Half of them have attributes whose members are read, damaged as text before anything else is.
    """
    chance, ids = Random(number), (n.to_bytes(8, "big") for n in itertools.count(1))
    bodies = []
    while len(bodies) < _REQUESTS:
        made = _MAKE[signal.name](chance, ids)
        if chance.random() < 0.5:
            add_documents(chance, made)
        body = made.SerializeToString()
        match chance.randrange(5):
            case 0:
                bodies.append(body)
            case 1:
                text = json.dumps(otlp_json(made)).encode()
                at = chance.randrange(len(text))
                some = [text, text[:at] + chance.randbytes(1) + text[at + 1 :]]
                bodies += [signal.from_json(one) for one in some if _is_json(signal, one)]
            case _:
                bodies.append(damaged(chance, body))
    return bodies


def _is_json(signal: Signal, text: bytes) -> bool:
    try:
        signal.from_json(text)
    except BadData:
        return False
    return True


@pytest.mark.parametrize("signal", [TRACES, LOGS], ids=lambda signal: signal.name)
@pytest.mark.slow
def test_what_the_gate_lets_through_is_stored_and_the_rest_is_bad_data(
    guarded: Guarded, store: Store, reader: Client, tmp_path: Path, signal: Signal
):
    for number in rounds():
        bodies = sent_in(number, signal)
        # For a crash, which leaves no word of Python's.
        (tmp_path / "round").write_text(str(number))
        passed = [one for body in bodies if (one := _let_through(guarded, body, signal))]
        project = f"{number}-{uuid4().hex}"
        requests = [one._replace(project=project) for one in passed]
        assert len(requests) > _REQUESTS / 10, number
        stored = store.insert(requests)
        assert stored.rows == sum(one.spans for one in requests), number
        (there,) = reader.query(
            f"SELECT count() FROM {signal.table.name} WHERE project = {{p:String}}", parameters={"p": project}
        ).first_row
        # Equal ones of a round may have been merged.
        assert 0 < there <= stored.rows, number


def _let_through(guarded: Guarded, body: bytes, signal: Signal) -> Request | None:
    """What the gate makes of a request, read where nothing may be read behind its end."""
    try:
        checked = check(guarded.hold(body), _DEPTH, signal.table)  # type: ignore[arg-type]
    except BadData as error:
        assert 20 < len(str(error)) < 2000  # noqa: PT017 - most are refused
        return None
    deep = signal.table.faults[-1] in checked.rejected
    return Request(body, "", 1, checked.spans, deep, signal.table.name) if checked.spans else None


@pytest.mark.slow
def test_the_gate_finds_the_good_spans_that_protobuf_finds():
    """Protobuf's own parser reads the same bytes.

    It knows more reasons to refuse them (groups that do not match, more than a hundred levels), and the gate
    has more for spans (values that nest too deep). One thing only the gate refuses, and no exporter sends: a
    field 0 in a group, one request in ten thousand here.
    """
    read = stricter = 0
    for number in rounds():
        for body in sent_in(number, TRACES):
            try:
                found = TRACES.request.FromString(body)
            except DecodeError:
                continue
            spans = [
                span
                for above in found.resource_spans
                for beside in above.scope_spans
                for span in beside.spans
            ]
            looked = _looked_at(body)
            if looked is None:
                stricter += 1
                continue
            accepted, rejected = looked
            deep = rejected["attribute_depth"]
            assert accepted + deep == sum(map(good, spans)), (number, body.hex())
            assert accepted + rejected.total() == len(spans), (number, body.hex())
            read += 1
    assert read > 100
    assert stricter <= 1 + read / 2000


def _looked_at(body: bytes) -> tuple[int, Counter[str]] | None:
    """How many spans the gate accepts, and how many not, by reason; None where it refuses the bytes."""
    try:
        return check(body, _DEPTH)
    except AllRejected as error:
        return 0, error.rejected
    except BadData:
        return None


@pytest.mark.skipif(not SECONDS, reason="CI checks no bounds: it would compile everything once more")
def test_bounds_are_checked():
    assert numba.config.BOUNDSCHECK
