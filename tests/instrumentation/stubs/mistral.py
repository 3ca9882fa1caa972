"""Mistral's API: chat and agent completions, fill-in-the-middle, embeddings, OCR.

Of the script (see scripted.py) it reads: `usage` (billed and sent), `text`, `tools` (so many parallel calls
of the first tool, all under one index if `one_index`), `thought`, `finish`, `model`, `pages`, `annotated`.
"""

import json
from contextlib import AbstractContextManager

from tests.instrumentation.stubs.scripted import Asked, Json, Reply, Stub, running

USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
_SLICE = 6


def stub() -> AbstractContextManager[Stub]:
    return running(_answer, _failure)


def _failure(status: int) -> Json:
    return {"object": "error", "message": f"the stub was asked for {status}", "type": "stub", "code": status}


def _answer(asked: Asked, billed: list[Json]) -> Reply:
    path, body = asked.path.partition("?")[0], asked.body
    if asked.method == "GET":
        return Reply({"object": "list", "data": []})
    model = asked.script.get("model") or body.get("model") or "mistral-small-2603"
    usage = asked.script.get("usage", USAGE)
    if path.endswith("/ocr"):
        pages = {"pages_processed": asked.script.get("pages", 3), "doc_size_bytes": 1000}
        billed.append({"model": model, "usage": pages, "stream": False})
        page = {"index": 0, "markdown": "# Tides", "images": [], "dimensions": None}
        annotation = "{}" if asked.script.get("annotated") else None
        return Reply(
            {"pages": [page], "model": model, "usage_info": pages, "document_annotation": annotation}
        )
    billed.append({"model": model, "usage": usage, "stream": bool(body.get("stream"))})
    head = {"id": f"mistral-{len(billed)}", "created": 1_760_000_000, "model": model}
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
        return Reply({**head, "object": "list", "data": data, "usage": usage})
    message, finish = _message(asked)
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return Reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    events = [f"data: {json.dumps(chunk)}" for chunk in _chunks(head, message, finish, usage)]
    error = {"error": {"message": "overloaded", "type": "overloaded", "code": "3505"}}
    return Reply(events=[*events, "data: [DONE]"], error_event=f"data: {json.dumps(error)}")


def _message(asked: Asked) -> tuple[Json, str]:
    script, messages = asked.script, asked.body.get("messages") or []
    tools = asked.body.get("tools") or []
    if tools and messages[-1]["role"] != "tool":
        calls = [
            {
                "id": f"call-{number}",
                "type": "function",
                "function": {
                    "name": tools[0]["function"]["name"],
                    "arguments": json.dumps({"town": f"Lisbon {number}"}),
                },
                "index": 0 if script.get("one_index") else number,
            }
            for number in range(script.get("tools", 1))
        ]
        return {"role": "assistant", "content": "", "tool_calls": calls}, "tool_calls"
    text = script.get("text", "It stays dry in Lisbon.")
    content: object = text
    if script.get("thought"):
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": script["thought"]}]}
        content = [thinking, {"type": "text", "text": text}]
    return {"role": "assistant", "content": content}, script.get("finish", "stop")


def _chunks(head: Json, message: Json, finish: str, usage: Json) -> list[Json]:
    """The role, text in slices, whole calls; reason and usage come with the last chunk."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    content = message["content"]
    if isinstance(content, list):
        deltas.extend({"content": [part]} for part in content[:-1])
        content = content[-1]["text"]
    deltas.extend({"content": content[at : at + _SLICE]} for at in range(0, len(content), _SLICE))
    deltas.extend({"content": "", "tool_calls": [call]} for call in message.get("tool_calls") or [])
    chunks = []
    for number, delta in enumerate(deltas):
        last = number == len(deltas) - 1
        choice = {"index": 0, "delta": delta, "finish_reason": finish if last else None}
        chunk = {**head, "object": "chat.completion.chunk", "choices": [choice]}
        chunks.append({**chunk, "usage": usage} if last else chunk)
    return chunks
