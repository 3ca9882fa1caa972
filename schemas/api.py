"""What the query API answers, field by field. The OpenAPI document is made from this.

Ids are lower-case hex, times RFC 3339 UTC with nanoseconds, money decimal strings with every digit that
is stored. `null` means that it was not sent or is not known; it never stands for 0.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["ok", "error", "unset"]
Kind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]

_MONEY = "US dollars as a decimal string in plain notation; null where it is not known."


class Answer(BaseModel):
    """What every model here has in common: what it does not name does not exist."""

    model_config = ConfigDict(extra="forbid")


class TraceSummary(Answer):
    """A trace in one line. Tokens and money count LLM and embedding calls only, each once."""

    trace_id: str = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])
    root_span_id: str = Field(
        description="The earliest span without a parent; where none is stored, the earliest whose parent is "
        "not stored; where there is none either, the earliest span."
    )
    name: str = Field(description="Name of the root span.")
    service: str | None = Field(description="service.name of the root span.")
    status: Status = Field(description="Status of the root span; `error_count` tells of the others.")
    start_time: str = Field(
        description="Start of the earliest span.", examples=["2026-01-31T09:30:00.000000001Z"]
    )
    end_time: str = Field(description="End of the span that ended last.")
    duration_ms: float = Field(description="From `start_time` to `end_time`.")
    span_count: int
    error_count: int = Field(description="Spans whose status is error.")
    llm_call_count: int = Field(description="Spans whose role is LLM.")
    input_tokens: int | None = Field(description="Sum over the calls, cached tokens included.")
    output_tokens: int | None = Field(description="Sum over the calls, reasoning included.")
    cost_usd: str | None = Field(description=f"Sum over the calls whose cost is known. {_MONEY}")
    unpriced_call_count: int = Field(description="Calls that `cost_usd` leaves out: their cost is not known.")
    models: list[str] = Field(description="Models that answered (or were asked, where no answer tells).")
    conversation_id: str | None = Field(description="The first that a span of the trace names.")
    user_id: str | None = Field(description="The first that a span of the trace names.")
    experiment_id: str | None = Field(description="The first that a span of the trace names.")


class TracePage(Answer):
    """Traces, newest first."""

    traces: list[TraceSummary]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class Usage(Answer):
    """Tokens of a call. Input includes cached tokens, output includes reasoning."""

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    input_audio_tokens: int | None
    output_audio_tokens: int | None
    other: dict[str, int | float] = Field(
        description="What else is billed, by the units of the price list: tokens of cache writes by their "
        "time to live, images, searches, pages ...; durations in seconds."
    )
    flags: list[str] = Field(
        description="What is odd about the numbers: counted_apart (cached or reasoning tokens were sent "
        "beside the totals and added to them), nothing_used (zero tokens: taken as unknown), "
        "details_exceed_total, total_mismatch, unreadable (something was sent that is no count). The numbers "
        "as sent are among the attributes."
    )


class SpanReference(Answer):
    """A span, wherever it is."""

    trace_id: str
    span_id: str


class Cost(Answer):
    """What a call costs and how that is known."""

    usd: str | None = Field(description=_MONEY)
    input_usd: str | None = Field(description=_MONEY)
    output_usd: str | None = Field(description=_MONEY)
    source: str | None = Field(description="computed (from tokens and the price list) or reported.")
    reason: str | None = Field(description="Why `usd` is null.")
    price_model: str | None = Field(description="The entry of the price list that was used.")
    price_version: str | None = Field(description="The version of the price list that was used.")
    reported_usd: str | None = Field(description="What the sender said that the call costs.")
    computed_usd: str | None = Field(
        description="What it costs by the price list, whichever of the two counts."
    )
    origin: str | None = Field(description="Who worked out `reported_usd`: provider, local, or not said.")


class Resource(Answer):
    """What sent the span."""

    attributes: dict[str, Any]
    schema_url: str
    dropped_attributes_count: int


class Scope(Answer):
    """The instrumentation that made the span."""

    name: str
    version: str
    attributes: dict[str, Any]
    schema_url: str
    dropped_attributes_count: int


class Event(Answer):
    """Something that happened during a span."""

    time: str
    name: str
    attributes: dict[str, Any]
    dropped_attributes_count: int


class Link(Answer):
    """A span elsewhere that this one refers to."""

    trace_id: str
    span_id: str
    trace_state: str
    flags: int
    attributes: dict[str, Any]
    dropped_attributes_count: int


class SpanNode(Answer):
    """A span and, in `children`, the spans below it, earliest first."""

    placeholder: Literal[False]
    span_id: str
    parent_span_id: str | None
    name: str
    kind: Kind = Field(description="`unspecified` also where an unknown number was sent.")
    kind_number: int = Field(description="The kind as it was sent.")
    dialect: str | None = Field(
        description="Whose spelling the span is written in, such as openinference or vercel-6; "
        "null: not known."
    )
    role: str = Field(
        description="LLM, EMBEDDING, TOOL, AGENT, WORKFLOW, RETRIEVER, RERANK, GUARDRAIL, EVAL, FETCH "
        "or OTHER."
    )
    operation: str | None
    status: Status
    status_message: str
    error_type: str | None
    start_time: str
    end_time: str = Field(description="As sent, even where that is before the start.")
    duration_ms: float = Field(description="0 where the span ended before it started.")
    service: str | None
    provider: str | None = Field(
        description="Who answered, in the words of the GenAI conventions: by the host that was called, where "
        "it is known."
    )
    provider_claimed: str | None = Field(description="Who answered, as sent.")
    service_tier: str | None = Field(description="batch, flex, priority ...: what the price may depend on.")
    model: str | None = Field(description="The model that answered, else the one that was asked for.")
    request_model: str | None
    response_model: str | None
    response_id: str | None
    conversation_id: str | None = Field(
        description="Of the span, else of the nearest span above that has one."
    )
    user_id: str | None = Field(description="Of the span, else of the nearest span above that has one.")
    experiment_id: str | None
    tool_name: str | None
    agent_name: str | None
    tags: list[str]
    finish_reasons: list[str]
    time_to_first_chunk_s: float | None
    usage: Usage
    counted: bool = Field(
        description="Whether totals count it: an LLM or embedding call, and no second record of one that "
        "counts."
    )
    duplicate_of: SpanReference | None = Field(description="The record of the same call that counts.")
    cost: Cost
    input: Any = Field(
        description="What went in: messages in the form of the GenAI conventions, "
        "`[{role, parts, name?, finish_reason?}]`, whichever dialect they were sent in; of the run of a tool "
        "its arguments. What is no messages is given as it was sent, parsed where it is JSON text."
    )
    output: Any = Field(
        description="What came out: messages, a tool's result, or what a retrieval found. As `input`."
    )
    system_instructions: Any = Field(
        description="Parts as those of a message. Where no field of their own holds them, they are the "
        "system messages at the beginning of the input, which are left out there."
    )
    tool_definitions: Any = Field(description="`[{type, name, description?, parameters?}]`")
    messages_from: dict[str, list[str]] = Field(
        description="Of the four above, those that are there: the attributes, events or log records that "
        "they were found in. `N` stands for the numbers in keys."
    )
    messages_as_sent: list[str] = Field(
        description="Those of the four above that are in no known form and are given as they were sent."
    )
    attributes: dict[str, Any] = Field(
        description='All attributes with the types they were sent in. Bytes are `{"@bytes": base64}`; '
        'doubles that JSON lacks are the strings "NaN", "Infinity" and "-Infinity".'
    )
    resource: Resource
    scope: Scope
    events: list[Event]
    links: list[Link]
    trace_state: str
    flags: int
    dropped_attributes_count: int
    dropped_events_count: int
    dropped_links_count: int
    attributes_cut: list[str] = Field(
        description="Keys of the attributes, of all levels, of whose values only the beginning is kept."
    )
    orphan: bool = Field(
        description="Its parent is not stored, so it stands here as a root, or with its siblings below a "
        "placeholder."
    )
    missing_parent_id: str | None = Field(description="The parent that is not stored.")
    cycle: bool = Field(description="Its parent is below it: the earliest span of a cycle stands as a root.")
    children: list[SpanNode]


class Placeholder(Answer):
    """The parent that several spans name and that is not stored: no span, but where these stand."""

    placeholder: Literal[True]
    span_id: str = Field(description="The id that the spans below name as their parent.")
    children: list[SpanNode] = Field(description="Two or more, each marked `orphan`.")


class TraceTree(TraceSummary):
    """A trace with all of its spans, each exactly once. Fields that were not asked for are missing."""

    roots: list[Annotated[SpanNode | Placeholder, Field(discriminator="placeholder")]] = Field(
        description="Earliest first. The order of arrival changes nothing."
    )


class Health(Answer):
    """That the process, or the database behind it, answers."""

    status: Literal["ok", "ready"]


class FieldError(Answer):
    """One thing that is wrong with a request."""

    where: str = Field(description="The part of the request.", examples=["query.limit"])
    what: str = Field(description="What is wrong with it.")
    allowed: str | None = Field(description="What is allowed instead.")


class Problem(Answer):
    """Every error has this form (RFC 9457, application/problem+json)."""

    type: str = Field(description="about:blank: `status` says what kind of problem it is.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    errors: list[FieldError] | None = Field(None, description="With status 400: each thing that is wrong.")
    error_id: str | None = Field(None, description="With status 500: the id under which it was logged.")


class PartsState(Answer):
    """The active parts of the table `spans`."""

    parts: int
    most_in_partition: int = Field(description="Parts of the day of spans that has most of them.")
    inserts_slow_down_at: int = Field(description="Parts in one day from which on ClickHouse delays inserts.")
    rows: int = Field(description="A span that was sent twice counts twice until its parts are merged.")
    bytes_on_disk: int


class DiskState(Answer):
    """A local disk of the database."""

    name: str
    free_bytes: int
    total_bytes: int


class PricesState(Answer):
    """The price list that new spans are priced by."""

    version: str
    loaded_at: str
    models: int = Field(description="Models with prices; none: every cost is unknown.")


class ServiceState(Answer):
    """What a service sent last."""

    service: str
    last_received_at: str
    fastest_arrival_s: float = Field(
        description="Least time from the end of a span to its arrival, of the newest hundred. Less than 0: "
        "the sender's clock is ahead of the collector's."
    )


class MutationState(Answer):
    """A change of stored rows that the database has tried and failed to make; it goes on trying."""

    table: str
    command: str
    failure: str = Field(description="What the database says, cut.")


class DatabaseState(Answer):
    """What the database says of itself. What its user may not see is null."""

    clickhouse_version: str
    time: str = Field(description="The database's clock.")
    migrations: list[str] = Field(description="Those that were applied.")
    prices: PricesState | None = Field(description="null: none were loaded.")
    parts: PartsState | None
    disks: list[DiskState] | None
    services: list[ServiceState] | None = Field(
        description="By the spans that were written last, of all projects, newest first; at most 100."
    )
    failing_mutations: list[MutationState] | None = Field(
        None, description="At most 10: what a deletion, or the end of retention, waits for."
    )


class LedgerState(Answer):
    """A process of spanledger and its database, for who runs it."""

    version: str
    pid: int
    embedded: bool = Field(description="Whether the database is inside this process.")
    database: DatabaseState
