"""The golden files are whole, neutral and true to what was billed. No network is used."""

from __future__ import annotations

import json
import re
import socket
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.dialects.expected import FIELDS, TOKENS, contradictions
from tests.dialects.hand_made import HAND_MADE
from tests.dialects.neutral import neutral
from tests.dialects.provider import SCENARIO, billed_usage
from tests.dialects.reading import FOLDER, Golden, golden_file, golden_files
from tests.dialects.table import DIALECTS, ENVIRONMENTS

FILES = golden_files()
every_file = pytest.mark.parametrize("golden", FILES, ids=str)
QUESTION = [
    {"role": "system", "parts": [{"type": "text", "content": SCENARIO["system"]}]},
    {"role": "user", "parts": [{"type": "text", "content": SCENARIO["question"]}]},
]
IDS = {"traceId", "spanId", "parentSpanId"}
PARTS = {"dialect", "hand_made", "packages", "requests", "billed", "expected"}
FORBIDDEN = [
    r"(?<![\w./:])/(work|home|root|tmp|opt|usr|var|Users)/",
    r"\w/(site-packages|node_modules)/\.\.",
    r"pypi|npmjs|registry\.",
]


def with_base64_ids(value: Any) -> Any:
    """OTLP/JSON as `json_format` reads it, which takes ids for base64 like any bytes."""
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: b64encode(bytes.fromhex(inner)).decode() if key in IDS else with_base64_ids(inner)
        for key, inner in value.items()
    }


def test_every_dialect_of_the_tables_has_its_file_and_no_other_is_there():
    assert {golden.dialect for golden in FILES} == {*DIALECTS, *HAND_MADE}
    assert {path.stem for path in FOLDER.iterdir()} == {golden.dialect for golden in FILES}


@every_file
def test_a_file_has_all_parts_and_the_versions_of_what_sent_it(golden: Golden):
    content = golden.content
    assert content.keys() >= PARTS
    assert golden.hand_made == (golden.dialect in HAND_MADE)
    if golden.hand_made:
        return
    assert ("python" in content) != ("node" in content)
    for pin in ENVIRONMENTS[DIALECTS[golden.dialect].environment]:
        name, _, version = re.sub(r"\[.*\]", "", pin).partition("==")
        installed = content["packages"][re.split("[<>=]", name)[0]]
        assert version in {"", installed}, pin
    assert content["packages"]


@every_file
def test_a_file_names_no_machine_no_folder_and_no_registry(golden: Golden):
    text = (FOLDER / f"{golden.dialect}.json").read_text()
    for pattern in FORBIDDEN:
        assert not re.search(pattern, text), pattern
    host = socket.gethostname()
    assert len(host) < 6 or host not in text
    assert neutral(golden.content["requests"]["traces"]) == golden.content["requests"]["traces"]


@every_file
def test_what_was_sent_is_otlp_json_and_reads_alike_by_protobufs_own_parser(golden: Golden):
    requests = golden.content["requests"]
    for kind, sent, read in (
        (ExportTraceServiceRequest, requests["traces"], golden.trace_requests()),
        (ExportLogsServiceRequest, requests["logs"], golden.log_requests()),
    ):
        parsed = [json_format.ParseDict(with_base64_ids(request), kind()) for request in sent]
        assert parsed == read
    assert golden.trace_requests()


@every_file
def test_single_spans_are_all_spans_in_any_order(golden: Golden):
    def ids(requests: list[ExportTraceServiceRequest]) -> list[bytes]:
        return [
            span.span_id
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    in_order = ids(golden.trace_requests())
    assert ids(golden.span_requests()) == in_order
    assert len(set(in_order)) == len(in_order)
    shuffled = ids(golden.span_requests(seed=1))
    assert sorted(shuffled) == sorted(in_order)
    assert shuffled == ids(golden.span_requests(seed=1))


@every_file
def test_expected_is_what_was_billed(golden: Golden):
    """Every billed call is expected once, with the same values, or has a word why no span was made of it."""
    numbers = [call["billed"] for call in golden.calls]
    unseen = {call["billed"]: call["why"] for call in golden.expected["unseen"]}
    assert numbers == sorted(set(numbers))
    assert sorted([*numbers, *unseen]) == list(range(len(golden.billed)))
    assert all(unseen.values())
    assert golden.expected["counted_calls"] == len(numbers)
    for call in golden.calls:
        billed = golden.billed[call["billed"]]
        shared = call.keys() & billed.keys()
        assert {"provider", "request_model", "response_id", "stream", "input_messages"} <= shared
        assert {name: call[name] for name in shared} == {name: billed[name] for name in shared}
        assert {name: call[name] for name in TOKENS} == (billed["usage"] or dict.fromkeys(TOKENS))
        assert bool(call["error_type"]) == (billed["status"] >= 400)


@every_file
def test_billed_counts_follow_from_what_the_provider_answered(golden: Golden):
    for call in golden.billed:
        usage = call["usage"]
        assert usage == billed_usage(call["raw_usage"])
        if usage is not None:
            assert usage["cache_read_tokens"] + usage["cache_write_tokens"] <= usage["input_tokens"]
            assert usage["reasoning_tokens"] <= usage["output_tokens"]


def test_the_plain_question_bills_120_tokens_of_which_64_are_cached_and_30_of_which_12_are_reasoning():
    plain = {golden.dialect: golden.billed[0] for golden in FILES}
    # The Agent Development Kit adds a sentence of its own to the instructions.
    others = {name for name, call in plain.items() if call["input_messages"] != QUESTION}
    assert others == {"google-adk", "google-adk-old"}
    for golden in FILES:
        if golden.dialect in others:
            continue
        usage = golden.billed[0]["usage"]
        assert (usage["input_tokens"], usage["cache_read_tokens"]) == (120, 64), golden.dialect
        assert (usage["output_tokens"], usage["reasoning_tokens"]) == (30, 12), golden.dialect


@every_file
def test_every_field_is_sent_but_for_those_that_are_said_not_to_be(golden: Golden):
    assert list(contradictions(golden.content)) == []
    for call in golden.calls:
        assert call["not_sent"].keys() <= set(FIELDS)
        assert all(call["not_sent"].values())


def test_a_missing_field_and_a_false_claim_are_found():
    golden = json.loads(json.dumps(golden_file("genai-openai").content))
    call = golden["expected"]["calls"][0]
    call["response_id"] = "another"
    call["not_sent"]["output_tokens"] = "a claim"
    assert list(contradictions(golden)) == [
        "genai-openai, call 0 (plain): response_id is not sent",
        "genai-openai, call 0 (plain): output_tokens is sent, against what is said",
    ]


def test_neutral_values_keep_what_differs_apart():
    def resource(pid: int) -> dict[str, Any]:
        attributes = [
            {"key": "process.pid", "value": {"intValue": str(pid)}},
            {"key": "host.name", "value": {"stringValue": "a-real-name"}},
            {"key": "text", "value": {"stringValue": 'File "/home/me/lib/python3.11/site-packages/x.py"'}},
        ]
        return {"attributes": attributes}

    first, second, again = neutral([resource(1), resource(2), resource(1)])
    assert first == again
    assert first["attributes"][0] != second["attributes"][0]
    assert first["attributes"][1]["value"] == {"stringValue": "host-1"}
    assert first["attributes"][2]["value"] == {"stringValue": 'File "site-packages/x.py"'}


def test_the_documentation_lists_every_file_with_its_versions_and_calls():
    page = Path(__file__).parents[2] / "docs" / "dialects.md"
    rows = [re.findall(r"[^|]+", line) for line in page.read_text().splitlines() if line.startswith("| `")]
    listed = {cells[0].strip(" `"): cells[1:] for cells in rows}
    for golden in FILES:
        *packages, calls, _ = listed.pop(golden.dialect)
        assert int(calls) == golden.expected["counted_calls"], golden.dialect
        assert bool(packages) != golden.hand_made
        for name, version in re.findall(r"`([^`]+)` ([^ ,]+)", "".join(packages)):
            assert golden.content["packages"][name] == version, golden.dialect
    assert not listed.keys() - PARTS - {"dialect`, `hand_made", "packages`, `python` or `node"}


def test_an_unknown_dialect_is_named_with_those_that_there_are():
    with pytest.raises(KeyError, match=r"no golden file of nobody; there are .*genai-openai"):
        golden_file("nobody")
