"""Gemini's API, of the Developer API and of Vertex: generateContent, embeddings, images, batches.

Of the script (see scripted.py) it reads: `usage` (the `usageMetadata` that is billed and sent), `text`,
`tools` (so many parallel calls of the first tool), `thought`, `image`, `finish`, `blocked`, `model`.
A function's answer in the last content is answered with text.
"""

import base64
import json
from contextlib import AbstractContextManager
from typing import Any

from tests.instrumentation.stubs.scripted import Asked, Json, Reply, Stub, running

USAGE = {"promptTokenCount": 12, "candidatesTokenCount": 7, "totalTokenCount": 19}
IMAGE = base64.b64encode(b"\x89PNG" + b"x" * 40_001).decode()
_SLICE = 6


def stub() -> AbstractContextManager[Stub]:
    return running(_answer, _failure)


def _failure(status: int) -> Json:
    return {"error": {"code": status, "message": f"the stub was asked for {status}", "status": "STUB"}}


def _answer(asked: Asked, billed: list[Json]) -> Reply:
    path = asked.path.partition("?")[0]
    address, _, method = path.rpartition(":")
    model = asked.script.get("model") or address.rpartition("/")[2]
    if asked.method == "GET":
        return Reply(_batch(path[path.index("batches/") :], billed))
    if method == "countTokens":
        return Reply({"totalTokens": 5})
    if method in {"batchEmbedContents", "embedContent", "predict"}:
        return Reply(_embedded(asked, method, model, billed))
    usage = asked.script.get("usage", USAGE)
    billed.append({"model": model, "usage": usage, "stream": method == "streamGenerateContent"})
    answer = {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": _parts(asked)}}],
        "modelVersion": model,
        "responseId": f"gemini-{len(billed)}",
        "usageMetadata": usage,
    }
    answer["candidates"][0]["finishReason"] = asked.script.get("finish", "STOP")
    if asked.script.get("blocked"):
        answer["candidates"] = []
        answer["promptFeedback"] = {"blockReason": asked.script["blocked"]}
    if method == "generateContent":
        return Reply(answer)
    error = json.dumps({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})
    events = [f"data: {json.dumps(chunk)}" for chunk in _chunks(answer)]
    return Reply(events=events, error_event=f"data: {error}")


def _parts(asked: Asked) -> list[Json]:
    script = asked.script
    last = (asked.body.get("contents") or [{}])[-1]
    answered = any("functionResponse" in part for part in last.get("parts") or [])
    declared = [
        one for tool in asked.body.get("tools") or [] for one in tool.get("functionDeclarations") or []
    ]
    parts: list[Json] = []
    if script.get("thought"):
        parts.append({"text": script["thought"], "thought": True})
    if declared and not answered:
        name = declared[0]["name"]
        for number in range(script.get("tools", 1)):
            call = {"id": f"call-{number}", "name": name, "args": {"town": f"Lisbon {number}"}}
            parts.append({"functionCall": call})
        return parts
    if script.get("image"):
        parts.append({"inlineData": {"mimeType": "image/png", "data": IMAGE}})
    parts.append({"text": script.get("text", "It stays dry in Lisbon.")})
    return parts


def _chunks(answer: Json) -> list[Json]:
    """Text in slices; the counts grow, and the reason comes with the last chunk."""
    head = {key: answer[key] for key in ("modelVersion", "responseId")}
    usage = answer["usageMetadata"]
    if not answer["candidates"]:
        return [answer]
    pieces: list[Json] = []
    for part in answer["candidates"][0]["content"]["parts"]:
        text = part.get("text")
        if text is None:
            pieces.append(part)
            continue
        pieces.extend({**part, "text": text[at : at + _SLICE]} for at in range(0, len(text), _SLICE))
    chunks = []
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        candidate: Json = {"index": 0, "content": {"role": "model", "parts": [piece]}}
        if last:
            candidate["finishReason"] = answer["candidates"][0]["finishReason"]
        growing = {"promptTokenCount": usage.get("promptTokenCount", 0), "candidatesTokenCount": number}
        chunks.append({**head, "candidates": [candidate], "usageMetadata": usage if last else growing})
    return chunks


def _embedded(asked: Asked, method: str, model: str, billed: list[Json]) -> Json:
    usage = asked.script.get("usage")
    body = asked.body
    if method == "predict":
        instances = body["instances"]
        if "prompt" in instances[0]:
            return {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": IMAGE}]}
        tokens = asked.script.get("tokens", 4)
        billed.append(
            {"model": model, "usage": {"promptTokenCount": tokens * len(instances)}, "stream": False}
        )
        vector = {"values": [0.25, 0.5], "statistics": {"token_count": float(tokens), "truncated": False}}
        return {"predictions": [{"embeddings": vector} for _ in instances]}
    billed.append({"model": model, "usage": usage, "stream": False})
    told: dict[str, Any] = {"usageMetadata": usage} if usage else {}
    if method == "embedContent":
        return {"embedding": {"values": [0.25, 0.5]}, **told}
    return {"embeddings": [{"values": [0.25, 0.5]} for _ in body["requests"]], **told}


def _batch(name: str, billed: list[Json]) -> Json:
    """A finished batch of two answers."""
    responses = []
    for number in range(2):
        usage = {"promptTokenCount": 1000 + number, "candidatesTokenCount": 100, "thoughtsTokenCount": 50}
        billed.append({"model": "gemini-2.5-flash", "usage": usage, "stream": False, "batch": True})
        content = {"role": "model", "parts": [{"text": f"answer {number}"}]}
        answer = {
            "candidates": [{"content": content, "finishReason": "STOP"}],
            "usageMetadata": usage,
            "modelVersion": "gemini-2.5-flash",
            "responseId": f"{name}-{number}",
        }
        responses.append({"response": answer, "metadata": {"key": f"asked-{number}"}})
    metadata = {
        "state": "BATCH_STATE_SUCCEEDED",
        "model": "models/gemini-2.5-flash",
        "output": {"inlinedResponses": {"inlinedResponses": responses}},
    }
    return {"name": name, "metadata": metadata, "done": True}
