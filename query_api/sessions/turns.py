"""Turns: the traces of a conversation in their order, with what the user said first and what came out last.

A turn is a trace, which is what applications send for each request. Where one trace holds a whole session
it is one turn, for calls of an agent at work cannot be told from questions of a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.messages.read import Conversation, Found, read_messages
from spanledger.query_api.search.cursors import Position
from spanledger.query_api.sessions.sessions import measured, measured_sql, source
from spanledger.query_api.trees.logs import read_logs
from spanledger.query_api.values import attributes_of, readable, typed_map

LONGEST = 500  # characters of a question or an answer
_AT_ONCE = 8  # spans whose messages are in memory at the same time

# The first and the last of the calls that count; of a trace without any, its first span.
_TURNS_SQL = f"""
SELECT
    lower(hex(trace_id)) AS id,
    argMin(name, (start_time, span_id)) AS first_name,
    lower(hex(argMinIf(span_id, (start_time, span_id), counted AND role = 'LLM'))) AS first_call,
    lower(hex(argMaxIf(span_id, (start_time, span_id), counted AND role = 'LLM'))) AS last_call,
    lower(hex(argMin(span_id, (start_time, span_id)))) AS first_span,
    countIf(counted AND role = 'LLM') AS llm_calls,
    {measured_sql()}
{source("conversation")}
GROUP BY trace_id
HAVING (first_ns, id) > ({{after_ns:Int64}}, {{after:String}})
ORDER BY first_ns, id
LIMIT {{most:UInt32}}
"""
_CONTENT_SQL = """
SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span,
    attributes_string, attributes_int, attributes_double, attributes_bool, attributes_json,
    content_string, content_json, events.name AS event_names, events.attributes AS event_attributes
FROM spans FINAL
WHERE project = {project:String}
    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
    AND (trace_id, span_id) IN (
        SELECT toFixedString(unhex(pair.1), 16), toFixedString(unhex(pair.2), 8)
        FROM (SELECT arrayJoin(arrayZip({traces:Array(String)}, {spans:Array(String)})) AS pair)
    )
"""


class _Spans(NamedTuple):
    """The spans of a turn that its question and its answer are looked for in, in this order."""

    trace_id: str
    asked: tuple[str, ...]
    answered: tuple[str, ...]


def list_turns(
    client: Client, project: str, conversation: str, *, limit: int, after: Position | None
) -> tuple[list[dict[str, Any]], Position | None]:
    """Up to `limit` turns behind `after`, oldest first, and the position to go on from."""
    parameters = {
        "project": project,
        "ids": [conversation],
        "after_ns": after.start_ns if after else -1,
        "after": after.trace_id if after else "",
        "most": limit + 1,
    }
    rows = list(client.query(_TURNS_SQL, parameters=parameters).named_results())
    shown = rows[:limit]
    said = _said(client, project, [_spans(row) for row in shown])
    turns = [
        {"trace_id": row["id"], "name": row["first_name"], **said[row["id"]], **measured(row)}
        for row in shown
    ]
    return turns, Position(shown[-1]["first_ns"], shown[-1]["id"]) if len(rows) > limit else None


def _spans(row: Mapping[str, Any]) -> _Spans:
    calls = row["llm_calls"] > 0
    return _Spans(
        row["id"],
        tuple(dict.fromkeys((row["first_call"], row["first_span"]) if calls else (row["first_span"],))),
        tuple(dict.fromkeys((row["last_call"], row["first_span"]) if calls else (row["first_span"],))),
    )


def _said(client: Client, project: str, turns: Sequence[_Spans]) -> dict[str, dict[str, str | None]]:
    wanted = [
        (turn.trace_id, span_id) for turn in turns for span_id in dict.fromkeys((*turn.asked, *turn.answered))
    ]
    logs: dict[str, Mapping[str, Any]] = {}
    said: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        batch = wanted[start : start + _AT_ONCE]
        parameters = {
            "project": project,
            "traces": [trace_id for trace_id, _ in batch],
            "spans": [span_id for _, span_id in batch],
        }
        for row in client.query(_CONTENT_SQL, parameters=parameters).named_results():
            attributes, events = attributes_of(row), _events(row)
            read = read_messages(attributes, events)
            if read.input is None or read.output is None:
                trace_id = row["trace"]
                if trace_id not in logs:
                    logs = {trace_id: read_logs(client, project, trace_id)}
                read = read_messages(attributes, events, logs[trace_id].get(row["span"], ()))
            said[row["trace"], row["span"]] = _question(read), _answer(read)
    return {
        turn.trace_id: {
            "input": _first(said, turn.trace_id, turn.asked, 0),
            "output": _first(said, turn.trace_id, turn.answered, 1),
        }
        for turn in turns
    }


def _first(
    said: Mapping[tuple[str, str], tuple[str | None, str | None]],
    trace_id: str,
    spans: Sequence[str],
    side: int,
) -> str | None:
    texts = (said.get((trace_id, span_id), (None, None))[side] for span_id in spans)
    return next((text for text in texts if text), None)


def _events(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "attributes": typed_map(attributes)}
        for name, attributes in zip(row["event_names"], row["event_attributes"], strict=True)
    ]


# --- text


def _question(read: Conversation) -> str | None:
    """The last thing that a user said to the call: what stands before it is history."""
    return _text(read.input, ("user",))


def _answer(read: Conversation) -> str | None:
    return _text(read.output, ("assistant",))


def _text(found: Found | None, roles: Sequence[str]) -> str | None:
    """The text of the last message of one of these roles, else of the last one; shortened."""
    if found is None:
        return None
    if found.as_sent or not isinstance(found.value, list):
        value = readable(found.value)
        return _short(value if isinstance(value, str) else str(found.value))
    messages = [one for one in found.value if isinstance(one, Mapping) and isinstance(one.get("parts"), list)]
    own = [message for message in messages if message.get("role") in roles]
    for message in reversed(own or messages):
        text = "\n".join(
            part["content"]
            for part in message["parts"]
            if isinstance(part, Mapping)
            and part.get("type") == "text"
            and isinstance(part.get("content"), str)
        )
        if text.strip():
            return _short(text)
    return None


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
