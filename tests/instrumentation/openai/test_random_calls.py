"""500 calls of all operations, at random: tokens are those that were billed, and costs follow from them."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import genai_prices
import openai
import pytest

from spanledger.server.stub_provider import StubProvider
from tests.instrumentation.conventions import check_all

CALLS = 500
HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
TOOL: dict[str, Any] = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
ENDINGS = ("whole", "whole", "whole", "refused", "broken", "left")
Usage = dict[str, Any]


def tokens_of(usage: Any) -> dict[str, Any]:
    """Billed usage of any endpoint as the price list names its units."""
    inputs = usage.get("input_tokens_details") or usage.get("input_token_details") or {}
    outputs = usage.get("output_tokens_details") or {}
    inputs = {**inputs, **(usage.get("prompt_tokens_details") or {})}
    outputs = {**outputs, **(usage.get("completion_tokens_details") or {})}
    found = {
        "input_tokens": usage.get("input_tokens", usage.get("prompt_tokens")),
        "output_tokens": usage.get("output_tokens", usage.get("completion_tokens")),
        "cache_read_tokens": inputs.get("cached_tokens"),
        "cache_write_tokens": inputs.get("cache_write_tokens"),
        "input_audio_tokens": inputs.get("audio_tokens"),
        "input_image_tokens": inputs.get("image_tokens"),
        "output_audio_tokens": outputs.get("audio_tokens"),
        "output_image_tokens": outputs.get("image_tokens"),
        "audio_seconds": usage.get("seconds"),
        "input_characters": usage.get("characters"),
    }
    return {unit: count for unit, count in found.items() if count}


def price_of(line: Any) -> Decimal:
    tier = line["tier"] if line["tier"] not in {None, "default"} else None
    searches = ((line.get("tool_usage") or {}).get("web_search") or {}).get("num_requests")
    used = {**tokens_of(line["usage"]), **({"web_searches": searches} if searches else {})}
    context = {"service_tier": tier} if tier else None
    found = genai_prices.calc_price(
        genai_prices.Usage(**used), line["model"], provider_id="openai", price_context=context
    )
    return found.total_price


class Dice:
    """Makes one call after the other, each of some operation, form and ending."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.made: Counter[str] = Counter()

    def usage(self, kind: str) -> Usage:
        pick = self.random.randint
        inputs, outputs = pick(1, 5000), pick(0, 2000)
        total = {"total_tokens": inputs + outputs}
        cached = self.random.choice((0, pick(0, inputs)))
        if kind == "responses":
            return {
                "input_tokens": inputs,
                "input_tokens_details": {
                    "cached_tokens": cached,
                    "cache_write_tokens": pick(0, inputs - cached),
                },
                "output_tokens": outputs,
                "output_tokens_details": {"reasoning_tokens": pick(0, outputs)},
                **total,
            }
        if kind == "images":
            image = pick(0, inputs)
            return {
                "input_tokens": inputs,
                "input_tokens_details": {"image_tokens": image, "text_tokens": inputs - image},
                "output_tokens": outputs,
                **total,
            }
        if kind == "transcriptions":
            audio = pick(0, inputs)
            details = {"audio_tokens": audio, "text_tokens": inputs - audio}
            tokens = {"type": "tokens", "input_tokens": inputs, "output_tokens": outputs, **total}
            return {**tokens, "input_token_details": details}
        if kind == "seconds":
            return {"type": "duration", "seconds": pick(1, 4000)}
        if kind == "speech":
            return {"input_tokens": inputs, "output_tokens": outputs, **total}
        if kind == "embeddings":
            return {"prompt_tokens": inputs, "total_tokens": inputs}
        return {"prompt_tokens": inputs, "completion_tokens": outputs, **total}

    def headers(self, kind: str, ending: str) -> dict[str, str]:
        found = {} if kind == "chat" else {"x-stub-usage": json.dumps(self.usage(kind))}
        if kind == "chat":
            # This stub counts by itself: six tokens in, of which some may be cached or audio.
            found |= {
                "x-stub-cached-tokens": str(self.random.choice((0, 0, 3))),
                "x-stub-reasoning-tokens": str(self.random.choice((0, 20))),
                "x-stub-audio-tokens": str(self.random.choice((0, 0, 2))),
            }
        if ending == "refused":
            found["x-stub-status"] = self.random.choice(("400", "401", "429", "500"))
        if ending == "broken":
            found[self.random.choice(("x-stub-break-after", "x-stub-error-after"))] = "1"
        return found

    def throw(self) -> tuple[Callable[[Any], Any], str, bool]:
        """What to do with a client, how the call is to end, and whether it is streamed."""
        kind = self.random.choice(tuple(KINDS))
        ending = self.random.choice(ENDINGS)
        stream = kind in STREAMED and self.random.random() < 0.5
        if not stream and ending in {"broken", "left"}:
            ending = "whole"
        self.made[f"{kind}, {'streamed' if stream else 'whole'}, {ending}"] += 1
        more: dict[str, Any] = {"extra_headers": self.headers(USED_LIKE.get(kind, kind), ending)}
        if stream:
            more["stream"] = True
            if kind in {"chat", "completions"}:
                more["stream_options"] = {"include_usage": True}
        if kind not in PLAIN_ONLY and self.random.random() < 0.2:
            more["raw"] = True
        return lambda client: KINDS[kind](client, self.random, more), ending, stream


def _of(resource: Any, name: str, more: dict[str, Any]) -> Any:
    """The method, or its raw form."""
    return getattr(resource.with_raw_response if more.pop("raw", False) else resource, name)


def _chat(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    tools = [{"type": "function", "function": TOOL}] if dice.random() < 0.3 else openai.omit
    tier = dice.choice((openai.omit, "priority", "flex"))
    model = dice.choice(("gpt-4o-mini", "gpt-4o", "o3-mini"))
    create = _of(client.chat.completions, "create", more)
    return create(model=model, messages=HELLO, tools=tools, service_tier=tier, **more)


def _responses(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    output = dice.choice(("message", "reasoning,message", "web_search_call,message", "function_call"))
    more["extra_headers"]["x-stub-output"] = output
    tools = [{"type": "function", "strict": False, **TOOL}]
    model = dice.choice(("gpt-4.1", "gpt-5-mini", "o4-mini", "gpt-4o"))
    tier = dice.choice((openai.omit, "priority", "flex"))
    create = _of(client.responses, "create", more)
    return create(model=model, input="hello", tools=tools, service_tier=tier, **more)


def _completions(client: Any, _dice: random.Random, more: dict[str, Any]) -> Any:
    create = _of(client.completions, "create", more)
    return create(model="gpt-3.5-turbo-instruct", prompt="hello there", **more)


def _embeddings(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    model = dice.choice(("text-embedding-3-small", "text-embedding-3-large"))
    return _of(client.embeddings, "create", more)(model=model, input=["a", "b"], **more)


def _images(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    model = dice.choice(("gpt-image-1", "gpt-image-1.5"))
    if dice.random() < 0.5:
        return _of(client.images, "edit", more)(model=model, prompt="x", image=b"PNG", **more)
    return _of(client.images, "generate", more)(model=model, prompt="x", **more)


def _speech(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    del dice
    return client.audio.speech.create(model="tts-1", voice="alloy", input="Boats come.", **more)


def _speech_events(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    del dice
    return client.audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input="Boats come.", stream_format="sse", **more
    )


def _transcriptions(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    model = dice.choice(("gpt-4o-transcribe", "gpt-4o-mini-transcribe"))
    return _of(client.audio.transcriptions, "create", more)(model=model, file=("a.wav", b"RIFF"), **more)


def _seconds(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    del dice
    return _of(client.audio.transcriptions, "create", more)(
        model="whisper-1", file=("a.wav", b"RIFF"), **more
    )


def _moderations(client: Any, _dice: random.Random, more: dict[str, Any]) -> Any:
    del more["extra_headers"]["x-stub-usage"]
    return _of(client.moderations, "create", more)(input="hello", **more)


async def _background(client: Any, dice: random.Random, more: dict[str, Any]) -> Any:
    """Begun, and looked up once or twice more than needed."""
    polls = dice.randint(0, 2)
    more["extra_headers"]["x-stub-polls"] = str(polls)
    begun = client.responses.create(model="gpt-4.1", input="hello", background=True, **more)
    begun = await begun if asyncio.iscoroutine(begun) else begun
    for _ in range(polls + dice.randint(1, 2)):
        found = client.responses.retrieve(begun.id)
        if asyncio.iscoroutine(found):
            await found


KINDS: dict[str, Any] = {
    "chat": _chat,
    "responses": _responses,
    "background": _background,
    "moderations": _moderations,
    "completions": _completions,
    "embeddings": _embeddings,
    "images": _images,
    "speech": _speech,
    "speech events": _speech_events,
    "transcriptions": _transcriptions,
    "seconds": _seconds,
}
USED_LIKE = {"speech events": "speech", "background": "responses"}
STREAMED = {"chat", "responses", "completions", "images", "transcriptions"}
# Their usage is in the body as it is, whichever form is asked for.
PLAIN_ONLY = {"speech", "speech events", "background"}


async def use(made: Any, ending: str, *, stream: bool) -> None:
    answer = await made if asyncio.iscoroutine(made) else made
    parse = getattr(answer, "parse", None)
    if callable(parse):
        answer = parse()
    if not stream:
        return
    if ending == "left":
        await anext(answer) if hasattr(answer, "__anext__") else next(answer)
        closed = answer.close()
        if asyncio.iscoroutine(closed):
            await closed
    elif hasattr(answer, "__aiter__"):
        async for _event in answer:
            pass
    else:
        list(answer)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_tokens_and_costs_of_random_calls_are_those_that_were_billed(
    spans, client, make_async_client, api, asynchronous
):
    dice = Dice(seed=7 + asynchronous)
    billed: list[Any] = []
    charged: list[tuple[Any, Any]] = []

    async def one(sdk: Any) -> None:
        spans.clear()
        api.forget()
        chat = StubProvider(api.base_url, api.root_url)
        chat.forget()
        make, ending, stream = dice.throw()
        try:
            await use(make(sdk), ending, stream=stream)
        except openai.APIError:
            assert ending in {"refused", "broken"}
        check_all(spans.all())
        (span,) = (one for one in spans.all() if one.name != "fetch_response")
        lines = [*api.account.billed, *({**line, "tier": None} for line in chat.calls())]
        if ending == "refused":
            assert lines == []
        # What broke or was left before its end told no usage, or all of it.
        if lines and ending == "whole":
            billed.append(lines[0])
            charged.append((span, lines[0]))
        elif ending != "whole":
            assert not [key for key in span.attributes if key.endswith("_tokens")]

    async def run() -> None:
        async with make_async_client() as sdk:
            for _ in range(CALLS // 2):
                await one(sdk if asynchronous else client)

    asyncio.run(run())
    assert sum(dice.made.values()) == CALLS // 2
    assert len(charged) > CALLS // 4
    compare(charged, billed)


def compare(charged: list[tuple[Any, Any]], billed: list[Any]) -> None:
    totals: Counter[str] = Counter()
    recorded: Counter[str] = Counter()
    for span, line in charged:
        units = tokens_of(line["usage"])
        totals.update({unit: int(units.get(unit, 0)) for unit in ("input_tokens", "output_tokens")})
        recorded.update(
            {
                unit: span.attributes.get(f"gen_ai.usage.{unit}", 0)
                for unit in ("input_tokens", "output_tokens")
            }
        )
        tier = span.attributes.get("openai.response.service_tier") or line["tier"]
        expected = price_of({**line, "tier": tier})
        assert Decimal(span.attributes["spanledger.cost.total"]) == expected, (span.name, line)
    assert recorded == totals
    assert len(billed) == len(charged)
