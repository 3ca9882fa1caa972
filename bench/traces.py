"""Traces of an agent: its calls of models, of a tool and of a retrieval, all of them GenAI spans.

Five of eight spans are calls of models, for those are what the ledger prices.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench.prose import Prose
from bench.workload import SPANS_IN_TRACE, Workload

Attributes = dict[str, Any]

_INTERNAL, _CLIENT = Span.SpanKind.SPAN_KIND_INTERNAL, Span.SpanKind.SPAN_KIND_CLIENT
# The kinds of the eight spans, and the positions of their parents; the first has none.
_SHAPES = (
    # finds documents first, then asks
    (("agent", "retrieval", "chat", "tool", "chat", "chat", "chat", "chat"), (None, 0, 0, 0, 0, 0, 0, 0)),
    # asks, uses a tool, looks something up, asks again
    (("agent", "chat", "tool", "chat", "retrieval", "chat", "chat", "chat"), (None, 0, 0, 0, 0, 0, 0, 0)),
    # the tool is an agent itself
    (("agent", "chat", "tool", "chat", "retrieval", "chat", "chat", "chat"), (None, 0, 0, 2, 2, 2, 0, 0)),
)
_MODELS = {
    "gpt-4o-mini": ("openai", "api.openai.com"),
    "gpt-4o": ("openai", "api.openai.com"),
    "gpt-5": ("openai", "api.openai.com"),
    "claude-sonnet-4-5": ("anthropic", "api.anthropic.com"),
    "gemini-2.5-pro": ("gcp.gemini", "generativelanguage.googleapis.com"),
}
_AGENTS = ("researcher", "support", "planner", "writer")
_TOOLS = ("search_orders", "run_query", "send_mail", "read_page", "current_weather")
_ERRORS = {
    "429": "Rate limit reached for requests",
    "500": "The server had an error while processing the request",
    "timeout": "Request timed out",
}
_SPREAD = 0.6  # of the length of a text, as a lognormal's sigma
_IDS_AND_TIMES = 16 + 2 + 8 + 2 + 8 + 2 + 9 + 9  # with their tags
_TAG_AND_LENGTH = 3  # of a span in its request, and of an attribute or a text that is no longer empty


class Made(NamedTuple):
    """A span without ids and times; `parent`: position in its trace; times count from the trace's start."""

    span: Span
    parent: int | None
    start_ns: int
    end_ns: int


class _Content(NamedTuple):
    """A text among the attributes: which part of the span's text it holds, and how it is written."""

    key: str
    share: float
    write: Callable[[str], str]


class _Kind(NamedTuple):
    """What makes a span one of its kind. `answer`: what it does not have when it failed."""

    name: str
    call: Attributes
    answer: Attributes
    asked: _Content
    answered: _Content


def make_traces(workload: Workload) -> Iterator[list[Made]]:
    """The traces of one cycle. Raises ValueError where the attributes alone are larger than `span_bytes`."""
    chance = random.Random(workload.seed)
    prose = Prose(workload.seed)
    failed = _some(chance, workload.cycle, workload.errors)
    nested = _some(chance, workload.cycle, workload.nested)
    for first in range(0, workload.cycle, SPANS_IN_TRACE):
        trace = _Trace(chance, prose, workload)
        yield [
            trace.span(position, failed=first + position in failed, nested=first + position in nested)
            for position in range(SPANS_IN_TRACE)
        ]


def _some(chance: random.Random, count: int, share: float) -> set[int]:
    return set(chance.sample(range(count), round(count * share)))


class _Trace:
    """What the spans of a trace have in common."""

    def __init__(self, chance: random.Random, prose: Prose, workload: Workload) -> None:
        self._chance = chance
        self._prose = prose
        self._workload = workload
        self._kinds, self._parents = chance.choice(_SHAPES)
        self._model = chance.choice(list(_MODELS))
        self._agent = chance.choice(_AGENTS)
        self._tenant = f"tenant-{chance.randrange(40)}"
        # Sent along with every call, as agents do.
        self._question = prose.passage(chance.randint(60, 140))
        self._session = {
            "gen_ai.conversation.id": f"conversation-{chance.randrange(5000)}",
            "user.id": f"user-{chance.randrange(500)}",
        }
        self._clock_ns = 0

    def span(self, position: int, *, failed: bool, nested: bool) -> Made:
        kind_name = self._kinds[position]
        kind = _KINDS[kind_name](self)
        span = Span(name=kind.name, kind=_CLIENT if kind_name == "chat" else _INTERNAL)
        attributes, contents = kind.call | kind.answer, [kind.asked, kind.answered]
        if failed:
            error, span.status.message = self._chance.choice(list(_ERRORS.items()))
            span.status.code = Status.STATUS_CODE_ERROR
            attributes, contents = {"error.type": error} | kind.call, [kind.asked]
        for key, value in self._as_many_as_asked(attributes, len(contents), nested=nested).items():
            _set(span, key, value)
        self._fill(span, contents)
        return Made(span, self._parents[position], *self._times(position))

    def _times(self, position: int) -> tuple[int, int]:
        """The root first and for as long as the whole; the others one after the other."""
        if position == 0:
            return 0, self._chance.randrange(20_000_000_000, 40_000_000_000)
        start = self._clock_ns + self._chance.randrange(200_000, 30_000_000)
        self._clock_ns = start + min(int(self._chance.lognormvariate(20.3, 0.8)), 2_500_000_000)
        return start, self._clock_ns

    def _as_many_as_asked(self, attributes: Attributes, texts: int, *, nested: bool) -> Attributes:
        """With attributes of the application's own behind them, or without the last ones."""
        chance = self._chance
        wanted = self._workload.attributes - texts
        many = attributes | self._session
        many |= {
            "app.tenant": self._tenant,
            "app.release": f"2026.{chance.randrange(1, 40)}",
            "app.region": chance.choice(("eu-central-1", "us-east-1", "ap-south-1")),
            "app.pod": f"worker-{chance.randrange(64)}",
            "app.step": chance.randrange(12),
            "app.attempt": chance.randrange(3),
            "app.queue.seconds": round(chance.expovariate(20), 4),
            "app.cached": chance.random() < 0.2,
            "app.variant": chance.choice(("control", "a", "b")),
        }
        many |= {f"app.label.{n}": f"value-{chance.randrange(100)}" for n in range(wanted - len(many))}
        kept = dict(list(many.items())[:wanted])
        if nested:
            kept.popitem()
            if chance.random() < 0.5:
                kept["app.options"] = {"tenant": self._tenant, "limits": {"tokens": chance.randrange(4096)}}
            else:
                kept["app.scores"] = [[round(chance.random(), 3), chance.randrange(9)] for _ in range(3)]
        return kept

    def _fill(self, span: Span, contents: list[_Content]) -> None:
        """Adds the texts: the spans are as large as asked for on average, and vary as texts do."""
        bare = [self._attribute_size(content) for content in contents]
        room = self._workload.span_bytes - span.ByteSize() - _IDS_AND_TIMES - _TAG_AND_LENGTH - sum(bare)
        if room < 0:
            raise ValueError(
                f"span_bytes is {self._workload.span_bytes}; {self._workload.attributes} attributes "
                f"need at least {self._workload.span_bytes - room}"
            )
        length = room * self._chance.lognormvariate(-(_SPREAD**2) / 2, _SPREAD)
        for content in contents:
            share = content.share if len(contents) > 1 else 1.0
            _set(span, content.key, content.write(self._prose.passage(int(length * share))))

    @staticmethod
    def _attribute_size(content: _Content) -> int:
        span = Span()
        _set(span, content.key, content.write(""))
        return span.ByteSize() + _TAG_AND_LENGTH

    def _usage(self) -> Attributes:
        input_tokens = self._chance.randint(50, 5000)
        return {
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": self._chance.randint(1, 800),
            "gen_ai.usage.cache_read.input_tokens": input_tokens // self._chance.randint(2, 9),
        }

    def chat(self) -> _Kind:
        chance = self._chance
        model = self._model if chance.random() < 0.7 else chance.choice(list(_MODELS))
        provider, address = _MODELS[model]
        return _Kind(
            f"chat {model}",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.request.temperature": chance.choice((0.0, 0.2, 0.7, 1.0)),
                "gen_ai.request.max_tokens": chance.choice((256, 512, 1024, 4096)),
                "gen_ai.request.stream": chance.random() < 0.6,
                "server.address": address,
                "server.port": 443,
            },
            self._usage()
            | {
                "gen_ai.response.model": model,
                "gen_ai.response.id": f"chatcmpl-{chance.randbytes(12).hex()}",
                "gen_ai.response.finish_reasons": [chance.choice(("stop", "stop", "tool_calls", "length"))],
                "gen_ai.response.time_to_first_chunk": round(chance.lognormvariate(-1, 0.5), 4),
            },
            _Content("gen_ai.input.messages", 0.6, _messages("assistant", asked=self._question)),
            _Content("gen_ai.output.messages", 0.4, _messages("assistant")),
        )

    def agent(self) -> _Kind:
        return _Kind(
            f"invoke_agent {self._agent}",
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.provider.name": _MODELS[self._model][0],
                "gen_ai.agent.name": self._agent,
                "gen_ai.agent.id": f"agent-{_AGENTS.index(self._agent)}",
                "gen_ai.request.model": self._model,
            },
            self._usage(),
            _Content("gen_ai.input.messages", 0.4, _messages("user", asked=self._question)),
            _Content("gen_ai.output.messages", 0.6, _messages("assistant")),
        )

    def tool(self) -> _Kind:
        name = self._chance.choice(_TOOLS)
        return _Kind(
            f"execute_tool {name}",
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.type": "function",
                "gen_ai.tool.call.id": f"call_{self._chance.randbytes(12).hex()}",
                "gen_ai.agent.name": self._agent,
            },
            {"app.tool.rows": self._chance.randrange(200)},
            _Content("gen_ai.tool.call.arguments", 0.2, lambda text: _json({"query": text})),
            _Content("gen_ai.tool.call.result", 0.8, lambda text: _json({"status": "ok", "text": text})),
        )

    def retrieval(self) -> _Kind:
        chance = self._chance
        found = [{"id": chance.randbytes(8).hex(), "score": round(chance.random(), 4)} for _ in range(3)]
        return _Kind(
            "retrieval handbook",
            {
                "gen_ai.operation.name": "retrieval",
                "gen_ai.provider.name": "openai",
                "gen_ai.data_source.id": "handbook",
                "gen_ai.request.model": "text-embedding-3-small",
                "gen_ai.request.top_k": len(found),
                "db.system.name": "postgresql",
            },
            {"app.retrieval.best": found[0]["score"]},
            _Content("gen_ai.retrieval.query.text", 0.1, str),
            _Content(
                "gen_ai.retrieval.documents",
                0.9,
                lambda text: _json([found[0] | {"content": text}, *found[1:]]),
            ),
        )


_KINDS = {"agent": _Trace.agent, "chat": _Trace.chat, "tool": _Trace.tool, "retrieval": _Trace.retrieval}


def _messages(role: str, asked: str = "") -> Callable[[str], str]:
    """Writes a message as the GenAI conventions have it, behind the user's question where there is one."""

    def write(text: str) -> str:
        told = [("user", asked), (role, text)] if asked else [(role, text)]
        return _json([{"role": who, "parts": [{"type": "text", "content": what}]} for who, what in told])

    return write


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _set(holder: Any, key: str, value: Any) -> None:
    any_value(holder.attributes.add(key=key).value, value)


def any_value(target: AnyValue, value: Any) -> None:
    """Writes a Python value into an AnyValue of OTLP."""
    match value:
        case bool():
            target.bool_value = value
        case int():
            target.int_value = value
        case float():
            target.double_value = value
        case list():
            for item in value:
                any_value(target.array_value.values.add(), item)
        case dict():
            for key, item in value.items():
                any_value(target.kvlist_value.values.add(key=key).value, item)
        case _:
            target.string_value = value
