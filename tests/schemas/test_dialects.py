"""schemas.dialects: the table says each thing once, and in a form that can be read."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import pytest
from clickhouse_connect.driver.client import Client
from otlp_requests import request, span

from spanledger.collector.rows.known import known
from spanledger.schemas.calls import dialect_of
from spanledger.schemas.dialects import (
    CONTENT_KEYS,
    CONTENT_PREFIXES,
    DIALECTS,
    FIELDS,
    FIRST_CHUNK_EVENTS,
    PLAIN_KEYS,
    UNIT_FIELDS,
    Kind,
    is_content,
)
from spanledger.schemas.prices.units import NUMBERS
from tests.dialects.reading import golden_files

ALL = (*FIELDS, *UNIT_FIELDS)
every_field = pytest.mark.parametrize("field", ALL, ids=lambda field: field.column)


@every_field
def test_a_field_has_each_key_once_and_no_more_than_a_priority_can_tell(field):
    assert [key for key, count in Counter(field.keys).items() if count > 1] == []
    assert 0 < len(field.keys) <= 255
    assert field.kind in get_args(Kind)


@every_field
def test_a_key_is_of_an_attribute_of_a_member_or_of_an_event(field):
    for key in field.keys:
        if key.startswith("event:"):
            assert re.fullmatch(r"event:[\w.]+", key)
            continue
        attribute, opened, path = key.partition("#")
        assert re.fullmatch(r"[\w.]+", attribute), key
        if opened:
            assert re.fullmatch(r"(\w+|\[\])(\.(\w+|\[\]))*", path), key
            assert path.count(".") < 16, "deeper than documents are read"


def test_a_key_fills_two_fields_at_most():
    """More of them would not fit beside each key: known.py says so when it starts."""
    counts = Counter(key for field in ALL for key in field.keys)
    assert [key for key, count in counts.items() if count > 2] == []
    assert known(ALL).codes.shape[1] > len(CONTENT_KEYS)
    twice = FIELDS[0]._replace(keys=("k",))
    with pytest.raises(ValueError, match="'k' more than twice"):
        known([twice, twice, twice])


def test_columns_are_named_once_and_those_that_are_stored_are_in_the_table(reader: Client):
    columns = [field.column for field in ALL]
    assert len(columns) == len(set(columns))
    there = {
        name
        for (name,) in reader.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'spans'"
        ).result_rows
    }
    assert {field.column for field in FIELDS if field.stored} <= there


def test_units_are_those_of_the_price_list():
    assert {field.column for field in UNIT_FIELDS} <= set(NUMBERS)
    assert {field.column for field in UNIT_FIELDS if field.kind == "number"} == {
        field.column for field in UNIT_FIELDS if field.column.endswith("_seconds")
    }


def test_what_is_content_is_no_fact_by_itself_and_is_said_once():
    for keys in (CONTENT_KEYS, CONTENT_PREFIXES, PLAIN_KEYS, FIRST_CHUNK_EVENTS):
        assert len(keys) == len(set(keys))
    attributes = {key for field in ALL for key in field.keys if "#" not in key}
    assert attributes & set(CONTENT_KEYS) == set()
    assert set(PLAIN_KEYS) & set(CONTENT_KEYS) == set()
    by_beginning = [key for key in CONTENT_KEYS if key.startswith(CONTENT_PREFIXES)]
    assert by_beginning == [], "a key that is content by its beginning need not be listed"
    assert [key for key in PLAIN_KEYS if not key.startswith(CONTENT_PREFIXES)] == []


def test_facts_that_begin_as_content_does_are_facts_all_the_same():
    """The table of keys comes before the beginnings: these few are meant."""
    facts = {key for field in ALL for key in field.keys if key.startswith(CONTENT_PREFIXES)}
    assert facts == {"gen_ai.completion.0.finish_reason"}


def test_dialects_are_named_so_that_their_beginnings_end_with_a_point():
    for dialect in DIALECTS:
        assert dialect.scopes or dialect.keys
        assert not dialect.both or (dialect.scopes and dialect.keys)
        assert all(re.fullmatch(r"[a-z][\w.-]*", scope) for scope in dialect.scopes)
        assert re.fullmatch(r"[a-z][a-z0-9.-]*", dialect.name)


# Whose spelling the spans of a golden file are in, where the file is not called so.
WRITTEN_IN = {
    "anthropic-and-genai-anthropic": {"anthropic", "otel-genai"},
    "gemini-thoughts-apart": {"otel-1.36"},
    "genai-anthropic": {"otel-genai"},
    "genai-google-genai": {"otel-genai", "otel-1.36"},
    "genai-openai": {"otel-genai"},
    "genai-openai-and-openinference": {"otel-genai", "openinference"},
    "genai-openai-events": {"otel-genai"},
    "google-adk": {"google-adk"},
    "google-adk-old": {"google-adk"},
    "openai-v2": {"otel-1.36"},
    "openinference-langchain-and-genai-openai": {"otel-genai", "openinference"},
    "pydantic-ai": {"pydantic-ai"},
    "vercel6": {"vercel-6"},
    "vercel7": {"vercel-7"},
}


@pytest.mark.parametrize("golden", golden_files(), ids=str)
def test_the_dialect_of_every_golden_file_is_recognised(golden):
    """Of spans that say something of a call; OpenLIT's others are as plain as anybody's."""
    found = {
        dialect_of(scope.scope.name, _hints([attribute.key for attribute in span.attributes]))
        for request in golden.trace_requests()
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    name = golden.dialect
    assert found - {""} == WRITTEN_IN.get(name, {name.partition("-")[0]})
    assert name == "openlit" or "" not in found


def _hints(keys: list[str]) -> list[int]:
    return [
        n
        for n, dialect in enumerate(DIALECTS)
        if any(key.startswith(dialect.keys or ("\0",)) for key in keys)
    ]


def test_content_is_told_by_its_key_as_the_collector_does(ingest, reader, project):
    keys = [
        *CONTENT_KEYS,
        *(f"{prefix}{end}" for prefix in CONTENT_PREFIXES for end in ("", "0.content", "name.x")),
        *PLAIN_KEYS,
        *(field_key.partition("#")[0] for field in ALL for field_key in field.keys),
        "app.tenant",
    ]
    plain = sorted({key for key in keys if not key.startswith("event:")})
    for first in range(0, len(plain), 500):
        ingest(request(span(attributes=dict.fromkeys(plain[first : first + 500], "text"))))
    rows = reader.query(
        "SELECT mapKeys(attributes_string), mapKeys(content_string) FROM spans WHERE project = {p:String}",
        parameters={"p": project},
    ).result_rows
    stored = {key: True for _, content in rows for key in content}
    stored |= {key: False for others, _ in rows for key in others}
    assert stored == {key: is_content(key) for key in plain}
