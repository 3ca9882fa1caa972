"""Cases 33 and 38: what a sender cannot do to the others, and processes that there cannot be."""

from __future__ import annotations

import secrets
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from otlp_requests import request, span
from processes import clean_environment, serve_command
from transports import Reply, open_transports

POISON = "poison"


@pytest.fixture(scope="module")
def picky_world(own_world_with):
    """A ledger whose table refuses spans of one name for their data, as it might what no gate knows."""
    with own_world_with(batch_wait_ms=500, insert_workers=1, store_timeout_s=9) as world:
        # An error of the kind that says: this data cannot be read.
        check = f"name != '{POISON}' OR toUInt8(name) = 0"
        world.sql.command(f"ALTER TABLE spans ADD CONSTRAINT picky CHECK {check}")
        yield world


@pytest.mark.parametrize("name", ["grpc", "http-protobuf", "http-json"])
def test_case_33_of_an_insert_that_is_refused_for_its_data_only_the_culprit_hears(picky_world, name):
    trace_id = secrets.token_bytes(16)
    spans = [span(trace_id, name=POISON if n == 13 else f"good {n:02}") for n in range(30)]

    def send(sent) -> tuple[str, Reply]:
        with open_transports(picky_world.ledger) as ways:
            return sent.name, ways[name].send(request(sent))

    # While the first inserts run, the others gather into one.
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(send, spans))
    codes = Counter((sent == POISON, answered.code) for sent, answered in answers)
    assert codes == {(True, "INVALID_ARGUMENT"): 1, (False, "OK"): 29}
    assert picky_world.names(trace_id) == sorted(sent.name for sent in spans if sent.name != POISON)
    assert largest_insert(picky_world) > 1


def largest_insert(world) -> float:
    """Spans in the largest insert so far, by the upper end of its bucket."""
    ends = ("1.0", "16.0", "128.0")
    counts = [world.counted("spanledger_batch_spans_bucket", le=end) for end in ends]
    return max(
        float(end) for end, more in zip(ends, [0, *counts], strict=False) if counts[ends.index(end)] > more
    )


@pytest.mark.slow
def test_case_38_there_is_no_asking_for_several_workers(tmp_path):
    """Each would be a process, and an embedded database belongs to one."""
    command = [*serve_command(f"chdb://{tmp_path / 'database'}"), "--workers", "2"]
    environment = clean_environment()
    refused = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path
    )
    assert refused.returncode == 2
    assert "unrecognized arguments: --workers 2" in refused.stderr
    assert not (tmp_path / "database").exists()
