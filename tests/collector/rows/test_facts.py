"""What the dialect table finds in a span: in attributes, in JSON within them, and in events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from documents import PATHS, a_document
from ledger_rows import Sent
from otlp_requests import SECOND, key_values, request, span

from spanledger.schemas.dialects import FIELDS

T0 = 1_760_000_000 * SECOND
Facts = Callable[..., Any]


@pytest.fixture
def facts(put_spans, reader) -> Facts:
    """What a reader finds of one span: the value of one column, or a tuple of several."""

    def facts(
        attributes: Mapping[str, Any],
        *columns: str,
        events: Sequence[tuple[str, int, Mapping[str, Any]]] = (),
        scope: str = "tests",
        name: str = "work",
        **limits: int,
    ) -> Any:
        project = uuid4().hex
        sent = span(attributes=attributes, name=name, start_time_unix_nano=T0)
        for event, at, of_event in events:
            sent.events.add(name=event, time_unix_nano=at, attributes=key_values(of_event))
        put_spans([Sent(request(sent, scope=scope), project, 1)], **limits)
        [row] = reader.query(
            f"SELECT {', '.join(columns)} FROM rows_of_tests.spans WHERE project = {{p:String}}",
            parameters={"p": project},
        ).result_rows
        return row[0] if len(columns) == 1 else row

    return facts


# --- members of JSON

DOCUMENT = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {"index": 0, "message": {"content": 'say "}]" \\', "role": "assistant"}, "logprobs": None},
        {"finish_reason": None},
        {"finish_reason": "length"},
        {"finish_reason": "stop"},
    ],
    "usage": {
        "prompt_tokens": 120,
        "completion_tokens": 30,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 70, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 12},
        "server_tool_use": {"web_search_requests": 2},
    },
    "service_tier": "flex",
}
FOUND = {
    "response_id": "chatcmpl-1",
    "response_model": "gpt-4o-2024-08-06",
    "finish_reasons": ["length"],
    "input_tokens": 120,
    "output_tokens": 30,
    "cache_read_tokens": 70,
    "input_audio_tokens": 5,
    "reasoning_tokens": 12,
    "service_tier": "flex",
    "usage": {"web_searches": 2},
}


@pytest.mark.parametrize("sent", ["compact", "indented", "map"])
def test_members_are_found_in_text_and_in_maps_however_deep(facts, sent):
    made = {
        "compact": json.dumps(DOCUMENT, separators=(",", ":")),
        "indented": json.dumps(DOCUMENT, indent=2),
        "map": DOCUMENT,
    }
    assert facts({"output.value": made[sent]}, *FOUND) == tuple(FOUND.values())


def test_members_are_found_in_arrays_within_arrays(facts):
    answer = {
        "generations": [
            [
                {"message": {"kwargs": {"response_metadata": {"id": "r-1", "model_name": "gpt-4o"}}}},
                {"generation_info": {"finish_reason": "stop"}},
            ]
        ],
    }
    found = facts({"output.value": json.dumps(answer)}, "response_id", "response_model", "finish_reasons")
    assert found == ("r-1", "gpt-4o", ["stop"])


@pytest.mark.parametrize("ascii_only", [True, False])
def test_escaped_text_is_the_text(facts, ascii_only):
    model = 'a"b\\c/d\b\f\n\r\té\u20ac\U0001f600'
    text = json.dumps({"model": model}, ensure_ascii=ascii_only)
    assert facts({"llm.invocation_parameters": text}, "request_model") == model


@pytest.mark.parametrize(
    ("escaped", "model"),
    [
        (r"a\/b", "a/b"),
        (r"\uD83D\uDE00", "\U0001f600"),
        (r"a\ud83d!", "a\ufffd!"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\u12g4", ""),
        (r"\u12", ""),
        (r"\ud83d\u12", ""),
    ],
)
def test_half_a_surrogate_pair_is_a_replacement_character_and_a_wrong_escape_is_no_text(
    facts, escaped, model
):
    text = f'{{"model": "{escaped}"}}'
    assert facts({"llm.invocation_parameters": text}, "request_model") == model


@pytest.mark.parametrize(
    "text",
    [
        "{'completion_tokens': 30, 'prompt_tokens': 120, 'prompt_tokens_details': {'cached_tokens': 70}}",
        (
            "Usage(completion_tokens=30, prompt_tokens=120, total_tokens=150, "
            "completion_tokens_details=CompletionTokensDetailsWrapper(audio_tokens=None, text_tokens=None), "
            "prompt_tokens_details=PromptTokensDetailsWrapper(audio_tokens=None, cached_tokens=70))"
        ),
        (
            "{'note': 'it\\'s \"so\" (', 'list': [1, True, None, Name()], 'completion_tokens': 30, "
            "'prompt_tokens': 120, 'prompt_tokens_details': Details(cached_tokens=70)}"
        ),
    ],
    ids=["dict", "object", "mixed"],
)
def test_objects_as_python_prints_them_have_members_too(facts, text):
    """LiteLLM sends them so."""
    found = facts(
        {"metadata.usage_object": text},
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "input_audio_tokens",
    )
    assert found == (120, 30, 70, None)


@pytest.mark.parametrize("nothing", ["null", "None", '""', "{}", "[]"])
def test_a_member_that_is_nothing_leaves_its_place_to_the_next(facts, nothing):
    text = f'{{"model": {nothing}, "model_name": "gpt-4o"}}'
    assert facts({"llm.invocation_parameters": text}, "request_model") == "gpt-4o"


def test_members_with_the_same_name_elsewhere_are_others(facts):
    text = json.dumps({"metadata": {"model": "x", "id": "y"}, "list": [{"id": "z"}], "ids": 1, "i": 2})
    assert facts({"output.value": text}, "response_model", "response_id") == ("", "")


def test_of_a_document_that_is_cut_off_nothing_is_found_that_is_not_in_the_whole(facts, put_spans, reader):
    """Exporters cut long attributes anywhere, so also within a number."""
    text, project = json.dumps(DOCUMENT), uuid4().hex
    cut = [span(attributes={"output.value": text[:size]}, name=str(size)) for size in range(len(text))]
    put_spans([Sent(request(*cut), project, 1)])
    rows = list(
        reader.query(
            f"SELECT {', '.join(FOUND)}, name FROM rows_of_tests.spans WHERE project = {{p:String}}",
            parameters={"p": project},
        ).named_results()
    )
    assert len(rows) == len(text)
    wrong = [
        (row["name"], name, row[name])
        for row in rows
        for name, whole in FOUND.items()
        if row[name] not in (whole, None, "", [], {})
    ]
    assert wrong == []
    by_size = {int(row["name"]): row for row in rows}
    assert by_size[len(text) - 1]["service_tier"] == "flex"
    assert by_size[text.index('"choices"')]["response_model"] == FOUND["response_model"]


IDS = ("response_id", "conversation_id", "user_id")


def _indented(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)


def _by_python(document: Any) -> str:
    return repr(document).replace("\\x00", "\0")  # of such escapes JSON has none


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("write", [json.dumps, _indented, _by_python])
def test_of_any_document_the_members_are_those_that_a_parser_finds(put_spans, reader, seed, write):
    chance, project = Random(seed), uuid4().hex
    holders = [key for key in PATHS if any(key == wanted.partition("#")[0] for wanted in _member_keys())]
    sent = []
    for n in range(200):
        key = chance.choice(holders)
        sent.append((str(n), key, a_document(chance, PATHS[key])))
    spans = [span(attributes={key: write(document)}, name=name) for name, key, document in sent]
    put_spans([Sent(request(*spans), project, 1)])
    found = {
        name: ids
        for name, *ids in reader.query(
            f"SELECT name, {', '.join(IDS)} FROM rows_of_tests.spans WHERE project = {{p:String}}",
            parameters={"p": project},
        ).result_rows
    }
    printed = str if write is _by_python else json.dumps
    wrong = [
        (document, found[name], wanted)
        for name, key, document in sent
        if found[name] != (wanted := [_expected(column, key, document, printed) for column in IDS])
    ]
    assert wrong == []


def _member_keys() -> list[str]:
    return [key for field in FIELDS if field.column in IDS for key in field.keys if "#" in key]


def _expected(column: str, attribute: str, document: Any, printed: Callable[[Any], str]) -> str:
    """By the promise of the table: the first of its keys that is there and not empty."""
    [field] = [field for field in FIELDS if field.column == column]
    for key in field.keys:
        holder, opened, path = key.partition("#")
        if opened and holder == attribute:
            for leaf in _leaves(document, path.split(".")):
                if leaf not in (None, ""):
                    return leaf if isinstance(leaf, str) else printed(leaf)
    return ""


def _leaves(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        if not isinstance(value, dict | list):
            yield value
    elif path[0] == "[]" and isinstance(value, list):
        for item in value:
            yield from _leaves(item, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _leaves(value[path[0]], path[1:])


LEVELS = 100_000
BEFORE, BEHIND = '{"id": "r-1", ', '"model": "never"}'


@pytest.mark.parametrize(
    "damage",
    [
        '"open',
        '"a": "open ' + "x" * 3_000_000,
        '"a": ' + "[" * LEVELS,
        '"usage": ' + '{"usage": ' * LEVELS,
        '"choices": ' + "[" * LEVELS,
        '"choices": ' + "[{" * LEVELS,
        '"choices": ' + "Name(" * LEVELS,
        '"a" "b", ',
        '"a": 1 2, ',
        '"a": , , : ',
        "\\",
        '"a": "\\',
        "= ",
        '"generations": [[[[[',
        "\x00\x01\x7f",
        ")" * LEVELS,
    ],
    ids=lambda text: text[:24].strip(),
)
def test_damaged_and_hostile_documents_give_what_stands_before_the_damage(facts, damage):
    found = facts({"output.value": BEFORE + damage + BEHIND}, "response_id", "response_model")
    assert found == ("r-1", "")


@pytest.mark.parametrize(
    "text", ["", " ", "{", "}", "[", '"', "'", "x", "None", "1", "{}", "(", "A(", ":", "{'"]
)
def test_what_is_no_document_has_no_members(facts, text):
    found = facts({"output.value": text, "gen_ai.response.id": "r-1"}, "response_id", "response_model")
    assert found == ("r-1", "")


def test_what_nobody_asks_for_may_be_megabytes_and_thousands_of_levels(facts):
    inner = "[" * LEVELS + "]" * LEVELS
    text = f'{{"a": {inner}, "b": "{"x" * 3_000_000}", "c": {json.dumps(["}"] * 1000)}, "model": "gpt-4o"}}'
    assert facts({"output.value": text}, "response_model") == "gpt-4o"


def test_a_member_is_no_longer_than_a_value_may_be(facts):
    text = json.dumps({"id": "\u20ac" * 1000, "model": "x" * 1000, "service_tier": '"' * 1000})
    found = facts({"output.value": text}, "response_id", "response_model", value_bytes=100)
    assert found == ("\u20ac" * 33, "x" * 100)


# --- which of several counts


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"gen_ai.request.model": "right"}, {"llm.invocation_parameters": '{"model": "wrong"}'}),
        ({"llm.invocation_parameters": '{"model": "right"}'}, {"ai.model.id": "wrong"}),
        ({"llm.invocation_parameters": {"model": "right"}}, {"mlflow.spanInputs": {"model": "wrong"}}),
        ({"gen_ai.request.model": "right"}, {"llm.request.model_name": "wrong"}),
        ({"llm.request.model_name": "right"}, {"gen_ai.request.model": ""}),
        ({"llm.request.model_name": "right"}, {"gen_ai.request.model": None}),
    ],
)
def test_the_first_of_the_table_counts_whatever_comes_first_in_the_span(facts, first, second, turned):
    sent = second | first if turned else first | second
    assert facts(sent, "request_model") == "right"


def test_one_key_may_fill_two_fields(facts):
    assert facts({"langfuse.observation.model.name": "gpt-4o"}, "request_model", "response_model") == (
        "gpt-4o",
        "gpt-4o",
    )


def test_texts_that_were_made_json_lose_their_quotes(facts):
    attributes = {
        "langfuse.observation.model.name": '"gpt-4o"',
        "mlflow.trace.user": '"u-1"',
        "session.id": '"',
    }
    assert facts(attributes, "request_model", "user_id", "conversation_id") == ("gpt-4o", "u-1", '"')
    assert facts({"gen_ai.request.model": '""'}, "request_model") == ""


# --- lists


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (["a", "b"], ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ('["a\\n\\u00e9", "[]", ","]', ["a\n\u00e9", "[]", ","]),
        ("[]", []),
        ([], []),
        ("a", ["a"]),
        (" a , b,,c d ,", ["a", "b", "c d"]),
        (",", []),
        ('"a,b"', ["a", "b"]),
        (["a,b", 1, None, True, ""], ["a,b", "1", "true", ""]),
        ('["a", 1, "b"]', ["a"]),
        ('["a", "open]', ["a"]),
        (7, ["7"]),
        (True, []),
    ],
)
def test_tags_are_a_list_in_whatever_form_they_are_sent(facts, value, tags):
    assert facts({"langfuse.trace.tags": value}, "tags") == tags


@pytest.mark.parametrize(
    ("value", "reasons"),
    [
        (["stop", "tool_calls"], ["stop", "tool_call"]),
        ('["stop"]', ["stop"]),
        ("end_turn", ["stop"]),
        ('"max_tokens"', ["length"]),
        ("FinishReason.STOP", ["stop"]),
        ("Why, not", ["Why, not"]),
    ],
)
def test_finish_reasons_are_a_list_and_commas_are_theirs(facts, value, reasons):
    assert facts({"gen_ai.response.finish_reasons": value}, "finish_reasons") == reasons


def test_an_item_of_a_list_is_no_longer_than_a_value_may_be(facts):
    text = json.dumps(["x" * 150, "\u20ac" * 40])
    assert facts({"tag.tags": text}, "tags", value_bytes=400) == ["x" * 150, "\u20ac" * 40]
    assert facts({"tag.tags": ["x" * 150]}, "tags", value_bytes=100) == ["x" * 100]


# --- events


def exception(kind: str, at: int = T0) -> tuple[str, int, dict[str, Any]]:
    return "exception", at, {"exception.type": kind, "exception.message": "m"}


def test_an_exception_says_the_type_of_the_error(facts):
    assert facts({}, "error_type", events=[exception("openai.RateLimitError")]) == "RateLimitError"
    assert facts({"error.type": "timeout"}, "error_type", events=[exception("E")]) == "timeout"
    assert facts({"litellm.provider.error.code": "429"}, "error_type", events=[exception("E")]) == "E"
    assert facts({}, "error_type", events=[exception(""), exception("A"), exception("B")]) == "A"


def test_a_key_is_that_of_an_event_or_of_the_span(facts):
    of_event = ("exception", T0, {"error.type": "x", "gen_ai.request.model": "m", "session.id": "s"})
    assert facts(
        {"exception.type": "E"}, "error_type", "request_model", "conversation_id", events=[of_event]
    ) == (
        "",
        "",
        "",
    )


def test_an_events_attribute_is_no_longer_than_a_value_may_be(facts):
    assert facts({}, "error_type", events=[exception("x" * 500)], value_bytes=100) == "x" * 100


# --- the first piece of an answer


@pytest.mark.parametrize(
    "name",
    [
        "First Token Stream Event",
        "ai.stream.firstChunk",
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
    ],
)
def test_the_first_event_of_a_chunk_says_when_the_answer_began(facts, name):
    events = [(name, T0 + 700_000_000, {}), (name, T0 + 250_000_000, {}), ("other", T0 + 1, {})]
    assert facts({}, "time_to_first_chunk_s", events=events) == 0.25


def test_an_event_before_the_start_says_nothing(facts):
    assert facts({}, "time_to_first_chunk_s", events=[("ai.stream.firstChunk", T0 - 1, {})]) is None
    assert facts({}, "time_to_first_chunk_s", events=[("ai.stream.firstChunk", T0, {})]) == 0


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(T0 / SECOND + seconds, UTC).isoformat()


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (iso(0.25), 0.25),
        (f'"{iso(0.25)}"', 0.25),
        (iso(2).replace("+00:00", "Z"), 2),
        ("2025-10-09T10:53:21+02:00", 1),
        (iso(-1), None),
        (iso(1).removesuffix("+00:00"), None),
        ("soon", None),
        ("", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59Z", pytest.approx(2.5e11, rel=0.1)),
    ],
)
def test_a_time_of_the_first_chunk_counts_from_the_start(facts, at, seconds):
    """Langfuse sends it, in quotes; without a zone nobody knows which time it is."""
    found = facts({"langfuse.observation.completion_start_time": at}, "time_to_first_chunk_s")
    assert found == seconds


def test_seconds_come_before_milliseconds_before_events_before_times(facts):
    event = ("ai.stream.firstChunk", T0 + 3 * SECOND, {})
    of_time = {"langfuse.observation.completion_start_time": iso(4)}
    of_millis = {"ai.response.msToFirstChunk": 2000.0}
    of_seconds = {"gen_ai.response.time_to_first_chunk": "1.0"}

    def found(*attributes: dict[str, Any]) -> float:
        merged = {key: value for some in attributes for key, value in some.items()}
        return facts(merged, "time_to_first_chunk_s", events=[event])

    assert found(of_time, of_millis, of_seconds) == 1
    assert found(of_time, of_millis) == 2
    assert found(of_time) == 3
    assert facts(of_time, "time_to_first_chunk_s") == 4


# --- content


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.prompt",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.tool_calls.0.arguments",
        "llm.input_messages.0.message.content",
        "llm.tools.0.tool.json_schema",
        "output.value",
    ],
)
def test_content_is_kept_apart_from_attributes_and_whole(facts, key):
    for value, column in (("x" * 500, "content_string"), ({"a": "x" * 500}, "content_json")):
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        found = facts({key: value}, column, "attributes_string", "attributes_json", value_bytes=100)
        assert found == ({key: text}, {}, {})


@pytest.mark.parametrize(
    "key", ["gen_ai.prompt.name", "gen_ai.prompt.version", "gen_ai.prompt.", "gen_ai.prompts.0", "llm.tools"]
)
def test_what_only_looks_like_content_is_an_attribute(facts, key):
    assert facts({key: "v"}, "attributes_string", "content_string") == ({key: "v"}, {})


# --- ids and roles


def test_litellms_own_id_of_a_call_is_no_id_of_the_answer(facts):
    def found(own: str, given: str) -> str:
        return facts({"litellm.call_id": own, "gen_ai.response.id": given}, "response_id")

    assert found("c-1", "c-1") == ""
    assert found("c-1", "chatcmpl-1") == "chatcmpl-1"
    assert found("", "chatcmpl-1") == "chatcmpl-1"


def test_who_names_a_model_and_what_it_used_has_called_it(facts):
    model, used = {"gen_ai.request.model": "gpt-4o"}, {"gen_ai.usage.input_tokens": 1}
    assert facts(model | used, "role", "operation", "counted") == ("LLM", "chat", True)
    assert facts(model, "role", "operation", "counted") == ("OTHER", "", False)
    assert facts(used, "role", "counted") == ("OTHER", False)
    assert facts(model | used | {"gen_ai.operation.name": "new"}, "role", "operation") == ("OTHER", "new")


def test_litellms_request_below_its_call_is_none(facts):
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1,
    }
    columns = ("role", "counted", "dialect")
    assert facts(attributes, *columns, scope="litellm", name="raw_gen_ai_request") == (
        "OTHER",
        False,
        "litellm",
    )
    assert facts(attributes, *columns, scope="litellm", name="litellm_request") == ("LLM", True, "litellm")


def test_the_name_of_a_traced_function_is_that_of_the_tool_or_the_agent(facts):
    def found(kind: str, **more: str) -> tuple[str, str]:
        return facts(
            {"traceloop.span.kind": kind, "traceloop.entity.name": "f"} | more, "tool_name", "agent_name"
        )

    assert found("tool") == ("f", "")
    assert found("agent") == ("", "f")
    assert found("task") == ("", "")
    assert found("tool", **{"gen_ai.tool.name": "weather"}) == ("weather", "")


# --- units


def test_what_else_is_billed_is_a_map_of_units_with_durations_in_microseconds(facts):
    attributes = {
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 3,
        "gen_ai.usage.raw": '{"cache_creation": {"ephemeral_1h_input_tokens": 4}}',
        "spanledger.usage.audio_seconds": 1.5,
        "spanledger.usage.input_audio_seconds": "0.0000014",
        "spanledger.usage.web_searches": 0,
        "spanledger.usage.input_characters": "12",
        "spanledger.usage.storage_searches": -1,
        "spanledger.usage.input_document_pages": "many",
    }
    assert facts(attributes, "usage") == {
        "cache_write_5m_tokens": 3,
        "cache_write_1h_tokens": 4,
        "audio_seconds": 1_500_000,
        "input_audio_seconds": 1,
        "web_searches": 0,
        "input_characters": 12,
    }


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e13, "1 s", True])
def test_a_duration_that_is_none_is_not_there(facts, seconds):
    assert facts({"spanledger.usage.audio_seconds": seconds}, "usage") == {}
