"""docs/search.md: every example on it is answered, and finds what it says."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

from otlp_requests import SECOND, key_values, llm_span, request, span

from spanledger.query_api.search.conditions import CHOICE_OPS, FLAG_OPS, LEVELS, NUMBER_OPS, TEXT_OPS
from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.grammar import parse_attribute
from spanledger.query_api.search.parameters import SpanParameters, TraceParameters
from spanledger.query_api.search.wholes import TRACE_FIELDS

PAGE = (Path(__file__).parents[3] / "docs" / "search.md").read_text()
T0 = 1_760_000_000 * SECOND


def rows_under(heading):
    """The cells of the tables between a heading and the next one."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_example_finds_the_trace_that_it_describes(api, ingest):
    trace_id = secrets.token_bytes(16)
    call = llm_span(trace_id, model="gpt-4o", input_tokens=100_000, user__id="ann")
    call.attributes.extend(key_values({"gen_ai.input.messages": "a Blue whale", "http.status_code": 503}))
    call.attributes.extend(key_values({"house.tenant": "7"}))
    tool = span(trace_id, {"gen_ai.operation.name": "execute_tool"}, parent_span_id=call.span_id)
    for made in (call, tool):
        made.start_time_unix_nano, made.end_time_unix_nano = T0, T0 + SECOND
        made.status.code = 2
    event = call.events.add(name="exception", time_unix_nano=T0)
    event.attributes.extend(key_values({"exception message": "it timed out"}))
    ingest(request(call, tool, resource={"service.name": "shop", "host.name": "web-1"}))
    urls = re.findall(r"^GET (/\S+)$", PAGE, re.MULTILINE)
    bodies = re.findall(r"^```json POST (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(urls) >= 6
    assert len(bodies) == 2
    for answer in (
        *(api.get(url) for url in urls),
        *(api.post(path, json=json.loads(body)) for path, body in bodies),
    ):
        assert answer.status_code == 200, answer.text
        listed = answer.json().get("spans") or answer.json().get("traces")
        assert [each["trace_id"] for each in listed] == [trace_id.hex()], answer.url


def test_the_page_names_every_parameter_field_and_op():
    named = set(re.findall(r"`(\w+)`", " ".join(cells[0] for cells in rows_under("Parameters"))))
    assert named == {"parameter", *SpanParameters.model_fields, *TraceParameters.model_fields} - {"parameter"}
    by_kind = {cells[0].split(":")[0]: cells for cells in rows_under("JSON") if len(cells) == 4}
    ops = {"text": TEXT_OPS, "number": NUMBER_OPS, "choice": CHOICE_OPS, "flag": FLAG_OPS}
    for kind in ("text", "texts", "number", "money", "choice", "flag"):
        for fields, column in ((FIELDS, 1), (TRACE_FIELDS, 2)):
            said = re.findall(r"`(\w+)`", by_kind[kind][column])
            assert said == [name for name, field in fields.items() if field.kind == kind], (kind, column)
        if kind in ops:
            assert re.findall(r"`(\w+)`", by_kind[kind][3]) == list(ops[kind])


def test_every_condition_of_the_grammar_on_the_page_is_one():
    lines = [cells[0].strip("`") for cells in rows_under("Attributes")[1:]]
    assert len(lines) >= 6
    assert {parse_attribute(line).level for line in lines} <= {None, *LEVELS}
