"""Cohere's API: chat of versions 1 and 2, generate, embed, rerank.

Of the script (see scripted.py) it reads: `usage` (billed and sent: `billed_units`, `tokens`,
`cached_tokens`), `text`, `tools` (so many parallel calls of the first tool), `plan`, `finish`.
"""

import json
from contextlib import AbstractContextManager

from tests.instrumentation.stubs.scripted import Asked, Json, Reply, Stub, running

USAGE = {
    "billed_units": {"input_tokens": 12.0, "output_tokens": 7.0},
    "tokens": {"input_tokens": 80.0, "output_tokens": 9.0},
}
_SLICE = 6


def stub() -> AbstractContextManager[Stub]:
    return running(_answer, _failure)


def _failure(status: int) -> Json:
    return {"message": f"the stub was asked for {status}"}


def _answer(asked: Asked, billed: list[Json]) -> Reply:
    path, body = asked.path.partition("?")[0], asked.body
    if path.endswith("/tokenize"):
        return Reply({"tokens": [1], "token_strings": ["a"]})
    usage = asked.script.get("usage", _usage_of(path))
    billed.append({"model": body.get("model"), "usage": usage, "stream": bool(body.get("stream"))})
    answer_id = f"cohere-{len(billed)}"
    if path.endswith("/rerank"):
        results = [{"index": 0, "relevance_score": 0.9}]
        return Reply({"id": answer_id, "results": results, "meta": usage})
    if path.endswith("/embed"):
        return Reply(_embedded(answer_id, body, usage, version=2 if "/v2/" in path else 1))
    if path.endswith("/v2/chat"):
        return _chat(asked, answer_id, usage)
    if path.endswith("/generate"):
        return _generated(asked, answer_id, usage)
    return _chat_v1(asked, answer_id, usage)


def _usage_of(path: str) -> Json:
    if path.endswith("/rerank"):
        return {"billed_units": {"search_units": 1.0}}
    if path.endswith("/embed"):
        return {"billed_units": {"input_tokens": 5.0}}
    return USAGE


def _embedded(answer_id: str, body: Json, usage: Json, version: int) -> Json:
    vectors = [[0.25, 0.5] for _ in body.get("texts") or [0]]
    found: Json = {"id": answer_id, "texts": body.get("texts") or [], "meta": usage}
    if version == 1 and "embedding_types" not in body:
        return {**found, "embeddings": vectors, "response_type": "embeddings_floats"}
    return {**found, "embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}


def _chat(asked: Asked, answer_id: str, usage: Json) -> Reply:
    message, finish = _message(asked)
    if not asked.body.get("stream"):
        return Reply({"id": answer_id, "finish_reason": finish, "message": message, "usage": usage})
    events = [_event(one) for one in _events(answer_id, message, finish, usage)]
    return Reply(events=events, error_event='data: {"error": {"code": "overloaded"}}')


def _event(event: Json) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}"


def _message(asked: Asked) -> tuple[Json, str]:
    script, messages = asked.script, asked.body.get("messages") or []
    tools = asked.body.get("tools") or []
    if tools and messages[-1]["role"] != "tool":
        name = tools[0]["function"]["name"]
        calls = [
            {
                "id": f"call-{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps({"town": f"Lisbon {number}"})},
            }
            for number in range(script.get("tools", 1))
        ]
        plan = script.get("plan", "I look it up.")
        return {"role": "assistant", "tool_plan": plan, "tool_calls": calls}, "TOOL_CALL"
    text = script.get("text", "It stays dry in Lisbon.")
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}, script.get(
        "finish", "COMPLETE"
    )


def _events(answer_id: str, message: Json, finish: str, usage: Json) -> list[Json]:
    start = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}}
    events: list[Json] = [{"type": "message-start", "id": answer_id, "delta": start}]
    plan = _slices(message.get("tool_plan") or "")
    events += [{"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}} for piece in plan]
    for index, call in enumerate(message.get("tool_calls") or []):
        arguments = call["function"]["arguments"]
        opened = {**call, "function": {**call["function"], "arguments": ""}}
        events.append(
            {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": opened}}}
        )
        for piece in _slices(arguments):
            delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            events.append({"type": "tool-call-delta", "index": index, "delta": delta})
        events.append({"type": "tool-call-end", "index": index})
    for index, part in enumerate(message.get("content") or []):
        empty = {"message": {"content": {"type": "text", "text": ""}}}
        events.append({"type": "content-start", "index": index, "delta": empty})
        for piece in _slices(part["text"]):
            delta = {"message": {"content": {"text": piece}}}
            events.append({"type": "content-delta", "index": index, "delta": delta})
        events.append({"type": "content-end", "index": index})
    events.append(
        {"type": "message-end", "id": answer_id, "delta": {"finish_reason": finish, "usage": usage}}
    )
    return events


def _slices(text: str) -> list[str]:
    return [text[at : at + _SLICE] for at in range(0, len(text), _SLICE)]


def _chat_v1(asked: Asked, answer_id: str, usage: Json) -> Reply:
    text = asked.script.get("text", "It stays dry in Lisbon.")
    finish = asked.script.get("finish", "COMPLETE")
    whole = {"response_id": answer_id, "generation_id": answer_id, "text": text, "meta": usage}
    if asked.body.get("tools"):
        whole["tool_calls"] = [{"name": asked.body["tools"][0]["name"], "parameters": {"town": "Lisbon"}}]
    if not asked.body.get("stream"):
        return Reply({**whole, "finish_reason": finish})
    events = [{"event_type": "stream-start", "generation_id": answer_id, "is_finished": False}]
    events += [
        {"event_type": "text-generation", "text": piece, "is_finished": False} for piece in _slices(text)
    ]
    end = {"event_type": "stream-end", "finish_reason": finish, "response": whole, "is_finished": True}
    lines = [json.dumps(event) for event in [*events, end]]
    return Reply(events=lines, content_type="application/stream+json")


def _generated(asked: Asked, answer_id: str, usage: Json) -> Reply:
    text = asked.script.get("text", "It stays dry in Lisbon.")
    whole = {"id": answer_id, "prompt": "", "generations": [{"id": answer_id, "text": text}], "meta": usage}
    if not asked.body.get("stream"):
        return Reply(whole)
    events: list[Json] = [
        {"event_type": "text-generation", "text": piece, "is_finished": False} for piece in _slices(text)
    ]
    end = {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": whole, "is_finished": True}
    return Reply(
        events=[json.dumps(event) for event in [*events, end]], content_type="application/stream+json"
    )
