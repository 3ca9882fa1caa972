"""Views: the tables that SQL may read, column by column, and what makes them in the database.

They stand in a database of their own, which is the default one of every client that runs SQL: `spans` means
the view. Each view gives the rows of the project that the client was opened for (clients.py) and no others,
each once (FINAL).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.totals import MODELS, TOTALS, first_of
from spanledger.schemas.database import migrations

# The one setting of the engine that is any text, changes nothing, and needs no configuration on a server. A
# client says its project by it.
PROJECT_SETTING = "log_comment"
_MINE = f"project = getSetting('{PROJECT_SETTING}')"


class Column(NamedTuple):
    """A column of a view; `sql` reads the columns of what the view stands on."""

    name: str
    type: str
    sql: str
    comment: str


class View(NamedTuple):
    """A view: `source` is what stands behind FROM, with a place for the database of the tables."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    source: str

    def select(self, database: str) -> str:
        """The statement that gives its rows."""
        # Two levels: an alias that is called as a column would stand for it in every other expression.
        inner = ",\n".join(f"{column.sql} AS v{n}" for n, column in enumerate(self.columns))
        outer = ", ".join(f"v{n} AS `{column.name}`" for n, column in enumerate(self.columns))
        source = self.source.replace("{database}", f"`{database}`")
        return f"SELECT {outer} FROM (SELECT {inner} FROM {source})"  # noqa: S608


def database_of_views(database: str) -> str:
    """The database of the views over the tables of another."""
    return f"{database}_sql"


def make_views(client: Client, database: str) -> None:
    """Make the views, or make them anew; needs a client that may write."""
    views = database_of_views(database)
    client.command(f"CREATE DATABASE IF NOT EXISTS `{views}`")
    for view in VIEWS:
        client.command(_creation(view, views, database))


def _creation(view: View, views: str, database: str) -> str:
    columns = ",\n".join(
        f"`{column.name}` {column.type} COMMENT {_quoted(column.comment)}" for column in view.columns
    )
    return (
        f"CREATE OR REPLACE VIEW `{views}`.`{view.name}` (\n{columns}\n) AS {view.select(database)} "
        f"COMMENT {_quoted(view.comment)}"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# --- expressions

_TIME = "DateTime64(9, 'UTC')"
_TEXTS = "Map(String, String)"
_COUNT = "Nullable(UInt64)"
_USD = "Nullable(Decimal(38, 18))"
_KNOWN = "NULL: not known."


def _field(name: str) -> str:
    return FIELDS[name].sql


def _hex(column: str) -> str:
    return f"lower(hex({column}))"


def _plain(texts: str) -> str:
    """A map of JSON texts with its strings as they are, without quotes."""
    return (
        "CAST(mapApply((k, v) -> (k, if(startsWith(v, '\"'), JSONExtractString(v), v)), "
        f"{texts}), 'Map(String, String)')"
    )


_ATTRIBUTES = (
    "CAST(mapConcat(attributes_string, mapApply((k, v) -> (k, toString(v)), attributes_int), "
    "mapApply((k, v) -> (k, toString(v)), attributes_double), "
    "mapApply((k, v) -> (k, toString(v)), attributes_bool), attributes_json), 'Map(String, String)')"
)
_NUMBERS = (
    "CAST(mapConcat(mapApply((k, v) -> (k, toFloat64(v)), attributes_int), "
    "mapApply((k, v) -> (k, v), attributes_double)), 'Map(String, Float64)')"
)
_CONTENT = "CAST(mapConcat(content_string, content_json), 'Map(String, String)')"


def _text(name: str, comment: str | None = None, sql: str | None = None) -> Column:
    return Column(name, "String", sql or _field(name), comment or FIELDS[name].meaning)


def _count(name: str, comment: str | None = None) -> Column:
    return Column(name, _COUNT, name, comment or f"{FIELDS[name].meaning} {_KNOWN}")


def _usd(name: str, comment: str) -> Column:
    return Column(name, _USD, name, f"{comment} US dollars. {_KNOWN}")


_IDS = (
    _text("trace_id", "The trace, 32 hex digits in lower case."),
    _text("span_id", "The span, 16 hex digits in lower case."),
    _text("parent_span_id", "The span above, 16 hex digits; empty: a root."),
)
_CALL = (
    _text("operation"),
    _text("provider", "Who answered, in the words of the GenAI conventions."),
    _text("model"),
    _text("request_model"),
    _text("response_model"),
    _text("response_id"),
    _text("service_tier"),
)
_STATE = (
    _text("status", "ok, error or unset."),
    _text("status_message", "What the sender says of the status.", "status_message"),
    _text("error_type"),
)
_TIMES = (
    Column("start_time", _TIME, "start_time", "When it began. A condition on it makes a query fast."),
    Column("end_time", _TIME, "end_time", "When it ended, as sent."),
    Column("duration_ms", "Float64", _field("duration_ms"), FIELDS["duration_ms"].meaning),
)
_WHO = (
    _text("user", "The end user, where the span says it; empty: not said.", "user_id"),
    _text("conversation", "The conversation, where the span says it; empty: not said.", "conversation_id"),
    _text("experiment", "The experiment, where the span says it; empty: not said.", "experiment_id"),
)
_USAGE = (
    Column(
        "time_to_first_chunk_s",
        "Nullable(Float64)",
        "time_to_first_chunk_s",
        f"Seconds to the first chunk. {_KNOWN}",
    ),
    _count("input_tokens"),
    _count("output_tokens"),
    Column(
        "total_tokens",
        _COUNT,
        f"CAST({_field('tokens')}, '{_COUNT}')",
        f"Tokens in and out. {_KNOWN}",
    ),
    _count("cache_read_tokens"),
    _count("cache_write_tokens"),
    _count("reasoning_tokens"),
    _count("input_audio_tokens", f"Tokens of audio that went in. {_KNOWN}"),
    _count("output_audio_tokens", f"Tokens of audio that came out. {_KNOWN}"),
    Column(
        "usage",
        "Map(String, UInt64)",
        "CAST(usage, 'Map(String, UInt64)')",
        "What else is billed, by the units of the price list; durations in microseconds.",
    ),
)
_COST = (
    _usd("cost_usd", "What the call costs."),
    _usd("cost_input_usd", "The part of the input, where the cost was computed."),
    _usd("cost_output_usd", "The part of the output, where the cost was computed."),
    _text("cost_source", "computed, reported or empty.", "cost_source"),
    _text("cost_reason"),
    _usd("cost_reported_usd", "What the sender said that it costs."),
    _usd("cost_computed_usd", "What it costs by the price list, whichever of the two counts."),
    _text("price_model", "The entry of the price list that was used, provider:model.", "price_model"),
    _text("price_version", "The version of the price list that was used.", "price_version"),
)
_MESSAGES = (
    Column(
        "input_messages",
        "String",
        "input_messages",
        "gen_ai.input.messages as sent, JSON text; empty: not sent. `content` has other spellings.",
    ),
    Column(
        "output_messages",
        "String",
        "output_messages",
        "gen_ai.output.messages as sent, JSON text; empty: not sent. `content` has other spellings.",
    ),
)
_MAPS = (
    Column(
        "attributes",
        _TEXTS,
        _ATTRIBUTES,
        "Attributes but those of content, as text: attributes['http.route']. A key that was not sent: empty.",
    ),
    Column(
        "attributes_number", "Map(String, Float64)", _NUMBERS, "The attributes that are numbers, as numbers."
    ),
    Column(
        "content", _TEXTS, _CONTENT, "Prompts, answers and tool traffic by the attributes that they came in."
    ),
    Column(
        "resource_attributes", _TEXTS, _plain("resource_attributes"), "Attributes of what sent it, as text."
    ),
)
_LISTS = (
    Column("tags", "Array(String)", "CAST(tags, 'Array(String)')", "Tags of the span."),
    Column(
        "finish_reasons", "Array(String)", "CAST(finish_reasons, 'Array(String)')", "Why the answers ended."
    ),
)
_SENDER = (_text("service"), _text("scope_name", "The instrumentation that made it.", "scope_name"))
_RECEIVED = Column("received_at", _TIME, "received_at", "When it arrived.")

_SPANS = View(
    "spans",
    "Every span, once.",
    (
        *_IDS,
        _text("name"),
        _text("kind", "unspecified, internal, server, client, producer or consumer."),
        _text(
            "role",
            "LLM, EMBEDDING, TOOL, AGENT, WORKFLOW, RETRIEVER, RERANK, GUARDRAIL, EVAL, FETCH or OTHER.",
        ),
        *_STATE,
        *_TIMES,
        *_SENDER,
        _text("scope_version", "Its version.", "scope_version"),
        _text("dialect"),
        *_CALL,
        *_WHO,
        _text("tool"),
        _text("agent"),
        *_LISTS,
        *_USAGE,
        Column("counted", "Bool", "counted", FIELDS["counted"].meaning),
        _text(
            "duplicate_of",
            "Trace id and span id, 48 hex digits, of the record of the same call that counts; empty: none.",
            _hex("duplicate_of"),
        ),
        *_COST,
        *_MESSAGES,
        *_MAPS,
        _RECEIVED,
    ),
    f"{{database}}.spans FINAL WHERE {_MINE}",
)

_LLM_CALLS = View(
    "llm_calls",
    "The calls that totals count: LLM and embedding calls, each once whoever recorded it.",
    (
        *_IDS,
        _text("name"),
        _text("role", "LLM or EMBEDDING."),
        *_STATE,
        *_TIMES,
        *_SENDER,
        *_CALL,
        *_WHO,
        *_LISTS,
        *_USAGE,
        *_COST,
        *_MESSAGES,
        *_MAPS,
    ),
    f"{{database}}.spans FINAL WHERE {_MINE} AND counted",
)

# As the list of traces sums them up (search/traces.py). Whether a parent is stored is asked of those traces
# only in which every span names one.
_ROOT = """argMin(
    tuple(lower(hex(span_id)), toString(name), toString(service), status_code),
    tuple(multiIf(
        parent_span_id = toFixedString('', 8), 0,
        (trace_id, parent_span_id) NOT IN (
            SELECT trace_id, span_id FROM {database}.spans FINAL
            WHERE {mine} AND trace_id IN (
                SELECT trace_id FROM {database}.spans FINAL WHERE {mine}
                GROUP BY trace_id HAVING countIf(parent_span_id = toFixedString('', 8)) = 0
            )
        ), 1,
        2
    ), start_time, span_id)
)""".replace("{mine}", _MINE)
_TRACE_SUMS = f"""(
    SELECT
        lower(hex(trace_id)) AS id,
        {_ROOT} AS root,
        min(start_time) AS first,
        max(greatest(start_time, end_time)) AS last,
        {TOTALS["span_count"]} AS spans_there,
        {TOTALS["error_count"]} AS errors,
        {TOTALS["llm_call_count"]} AS calls,
        {TOTALS["input_tokens"]} AS tokens_in,
        {TOTALS["output_tokens"]} AS tokens_out,
        {TOTALS["cost_usd"]} AS cost,
        {TOTALS["unpriced_call_count"]} AS unpriced,
        {MODELS} AS models_there,
        arraySort(groupUniqArrayIf(toString(service), service != '')) AS services_there,
        arraySort(groupUniqArrayArray(arrayMap(t -> toString(t), tags))) AS tags_there,
        {first_of("conversation_id")} AS first_conversation,
        {first_of("user_id")} AS first_user,
        {first_of("experiment_id")} AS first_experiment
    FROM {{database}}.spans FINAL
    WHERE {_MINE}
    GROUP BY trace_id
)"""  # noqa: S608

_TRACES = View(
    "traces",
    "A row a trace, with the numbers of the list of traces. To ask for a time give the request `start` and "
    "`end`: a condition on start_time has to sum up every trace first.",
    (
        _text("trace_id", "32 hex digits in lower case.", "id"),
        _text("root_span_id", "The span at the top.", "root.1"),
        _text("name", "Name of the span at the top.", "root.2"),
        _text("service", "service.name of the span at the top.", "root.3"),
        _text(
            "status",
            "Status of the span at the top: ok, error or unset.",
            "transform(root.4, [1, 2], ['ok', 'error'], 'unset')",
        ),
        Column("start_time", _TIME, "first", "Start of the earliest span."),
        Column("end_time", _TIME, "last", "End of the span that ended last."),
        Column(
            "duration_ms",
            "Float64",
            "(toUnixTimestamp64Nano(last) - toUnixTimestamp64Nano(first)) / 1e6",
            "Milliseconds from start_time to end_time.",
        ),
        Column("span_count", "UInt64", "spans_there", "Spans."),
        Column("error_count", "UInt64", "errors", "Spans whose status is error."),
        Column("llm_call_count", "UInt64", "calls", "LLM calls that count."),
        Column("input_tokens", "Nullable(UInt128)", "tokens_in", "Sum over the calls that count."),
        Column("output_tokens", "Nullable(UInt128)", "tokens_out", "Sum over the calls that count."),
        Column(
            "cost_usd", _USD, "cost", "Sum over the calls whose cost is known, US dollars. NULL: none is."
        ),
        Column("unpriced_call_count", "UInt64", "unpriced", "Calls that cost_usd leaves out."),
        Column("models", "Array(String)", "models_there", "Models that answered, or were asked."),
        Column("services", "Array(String)", "services_there", "Services with a span in it."),
        Column("tags", "Array(String)", "tags_there", "Tags of its spans."),
        _text("conversation", "The first that a span of the trace names; empty: none.", "first_conversation"),
        _text("user", "The first that a span of the trace names; empty: none.", "first_user"),
        _text("experiment", "The first that a span of the trace names; empty: none.", "first_experiment"),
    ),
    _TRACE_SUMS,
)

_OF_SPAN = (
    _text("trace_id", "The trace, 32 hex digits in lower case."),
    _text("span_id", "The span that it belongs to, 16 hex digits."),
    _text("span_name", "Its name.", "name"),
    _text("service"),
)


def _each(*lists: str, called: str) -> str:
    """Spans, each once for every entry of lists of equal length; its values are the tuple `called`."""
    zipped = ", ".join(f"`{name}`" for name in lists)
    return (
        f"(SELECT *, arrayJoin(arrayZip({zipped})) AS {called} FROM {{database}}.spans FINAL WHERE {_MINE})"  # noqa: S608
    )


_EVENTS = View(
    "events",
    "What happened during spans: a row an event.",
    (
        *_OF_SPAN,
        Column("time", _TIME, "event.1", "When it happened."),
        _text("name", "The event's name.", "toString(event.2)"),
        Column("attributes", _TEXTS, _plain("event.3"), "Its attributes, as text."),
        Column(
            "span_start_time",
            _TIME,
            "start_time",
            "When the span began. A condition on it makes a query fast.",
        ),
    ),
    _each("events.time", "events.name", "events.attributes", called="event"),
)

_LINKS = View(
    "links",
    "Spans elsewhere that spans refer to: a row a link.",
    (
        *_OF_SPAN,
        _text("linked_trace_id", "The trace that is referred to.", _hex("link.1")),
        _text("linked_span_id", "The span that is referred to.", _hex("link.2")),
        Column("attributes", _TEXTS, _plain("link.3"), "Attributes of the link, as text."),
        Column(
            "span_start_time",
            _TIME,
            "start_time",
            "When the span began. A condition on it makes a query fast.",
        ),
    ),
    _each("links.trace_id", "links.span_id", "links.attributes", called="link"),
)

_LOGS = View(
    "logs",
    "Log records, each once.",
    (
        Column("time", _TIME, "time", "When it happened. A condition on it makes a query fast."),
        Column("observed_time", _TIME, "observed_time", "When it was observed; 1970: not said."),
        _text(
            "trace_id",
            "The trace, 32 hex digits; empty: of none.",
            "if(trace_id = toFixedString('', 16), '', lower(hex(trace_id)))",
        ),
        _text(
            "span_id",
            "The span, 16 hex digits; empty: of none.",
            "if(span_id = toFixedString('', 8), '', lower(hex(span_id)))",
        ),
        Column(
            "severity_number",
            "Int32",
            "severity_number",
            "1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal; 0: not said.",
        ),
        _text("severity_text", "The severity in the sender's words.", "severity_text"),
        _text("event_name", "What kind of event it is; empty: not said.", "event_name"),
        _text(
            "body",
            "What it says; what is no string is JSON text.",
            "if(startsWith(body, '\"'), JSONExtractString(body), body)",
        ),
        _text("service"),
        _text("scope_name", "The instrumentation that made it.", "scope_name"),
        *_MAPS,
        _RECEIVED,
    ),
    f"{{database}}.logs FINAL WHERE {_MINE}",
)


def _otel_traces() -> View:
    """The view of the Collector's exporter as the migration makes it, for one project."""
    text = dict(migrations())["0004_otel_traces.sql"]
    select = re.sub(r"^.*?CREATE VIEW IF NOT EXISTS otel_traces AS\n", "", text, flags=re.DOTALL)
    body = select.strip().removesuffix(";")
    source = f"({body.removesuffix('FROM spans FINAL')}FROM {{database}}.spans FINAL WHERE {_MINE})"
    return View(
        "otel_traces",
        "Every span, once, under the names of the OpenTelemetry Collector's ClickHouse exporter.",
        tuple(Column(name, kind, f"`{name}`", comment) for name, kind, comment in _OTEL),
        source,
    )


_OTEL_TEXTS = "Map(LowCardinality(String), String)"
_OTEL = (
    ("Timestamp", _TIME, "When it began. A condition on it makes a query fast."),
    ("TraceId", "String", "The trace, 32 hex digits in lower case."),
    ("SpanId", "String", "The span, 16 hex digits in lower case."),
    ("ParentSpanId", "String", "The span above; empty: a root."),
    ("TraceState", "String", "The W3C trace state."),
    ("SpanName", "LowCardinality(String)", "The span's name."),
    ("SpanKind", "LowCardinality(String)", "Unspecified, Internal, Server, Client, Producer or Consumer."),
    ("ServiceName", "LowCardinality(String)", "service.name of what sent it."),
    ("ResourceAttributes", _OTEL_TEXTS, "Attributes of what sent it, as text."),
    ("ScopeName", "LowCardinality(String)", "The instrumentation that made it."),
    ("ScopeVersion", "LowCardinality(String)", "Its version."),
    ("SpanAttributes", _OTEL_TEXTS, "Attributes, those of content included, as text."),
    ("Duration", "UInt64", "Nanoseconds from start to end."),
    ("StatusCode", "LowCardinality(String)", "Unset, Ok or Error."),
    ("StatusMessage", "String", "What the sender says of the status."),
    ("Events.Timestamp", f"Array({_TIME})", "When its events happened."),
    ("Events.Name", "Array(LowCardinality(String))", "Names of its events."),
    ("Events.Attributes", f"Array({_OTEL_TEXTS})", "Attributes of its events."),
    ("Links.TraceId", "Array(String)", "Traces of the spans that it refers to."),
    ("Links.SpanId", "Array(String)", "Spans that it refers to."),
    ("Links.TraceState", "Array(String)", "Their trace states."),
    ("Links.Attributes", f"Array({_OTEL_TEXTS})", "Attributes of the links."),
)

VIEWS: tuple[View, ...] = (_TRACES, _SPANS, _LLM_CALLS, _EVENTS, _LINKS, _LOGS, _otel_traces())
