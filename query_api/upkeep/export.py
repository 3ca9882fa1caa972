"""Export: the rows of a project as a stream, in a stable order, chunk by chunk.

A chunk is what lies between two places in the sorting key, so every span that is stored when the export
begins is in it once, whatever is merged and whatever arrives meanwhile. Between two chunks no connection is
held: many exports share the readers, and each holds one chunk.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from clickhouse_connect.driver.client import Client

from spanledger.query_api.readers import Readers
from spanledger.query_api.trees.otlp import LOG_COLUMNS, SPAN_COLUMNS, logs_otlp, spans_otlp
from spanledger.query_api.upkeep.columns import Column, columns_of
from spanledger.schemas.errors import Busy

FORMAT_VERSION = 1
Format = Literal["jsonl", "parquet", "otlp"]
TableName = Literal["spans", "logs"]
_CHUNK_BYTES = 8 << 20
_MOST_ROWS = 5_000
_FIRST_ROWS = 500
_WINDOW_ROWS = 2_000
_TRIES = 30  # of a chunk while the database is busy, a second apart

# By table: its time, and its sorting key behind the hour.
KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "spans": ("start_time", ("trace_id", "span_id", "start_time")),
    "logs": ("time", ("trace_id", "span_id", "time", "id")),
}


class Wanted(NamedTuple):
    """What is exported: the rows of a table of a project that start in a time."""

    project: str
    table: TableName
    start_ns: int
    end_ns: int


class _Window(NamedTuple):
    first_hour: int
    last_hour: int


class _Page(NamedTuple):
    """What is read next: of a window what lies behind a place, about so many rows."""

    window: _Window
    after: tuple[str, ...] | None
    limit: int


class _Chunk(NamedTuple):
    """What a chunk became, how many rows it has, and where it ended: None at the end of its window."""

    data: Any
    rows: int
    size: int
    end: tuple[str, ...] | None


class _Form(Protocol):
    """How rows become a file."""

    select: str

    def head(self) -> bytes: ...

    def take(self, client: Client, sql: str, parameters: dict[str, Any]) -> tuple[Any, int, int]:
        """What a query finds, how many rows that is, and of how many bytes."""

    def piece(self, data: Any) -> bytes: ...

    def end(self, rows: int) -> bytes: ...


async def exported(readers: Readers, wanted: Wanted, form: Format) -> AsyncIterator[bytes]:
    """The pieces of the file. What is cut off has no end that can be taken for one."""
    columns = await _patiently(readers, partial(columns_of, table=wanted.table))
    writer: _Form = _FORMS[form](wanted, columns)
    yield writer.head()
    rows = 0
    async for chunk in _chunks(readers, wanted, writer):
        rows += chunk.rows
        if chunk.rows:
            yield writer.piece(chunk.data)
    yield writer.end(rows)


async def _chunks(readers: Readers, wanted: Wanted, form: _Form) -> AsyncIterator[_Chunk]:
    limit = _FIRST_ROWS
    for window in await _patiently(readers, lambda client: list(_windows(client, wanted))):
        page: _Page | None = _Page(window, None, limit)
        while page is not None:
            chunk, limit = await _chunk(readers, wanted, form, page)
            yield chunk
            if chunk.rows:
                limit = max(1, min(_MOST_ROWS, _CHUNK_BYTES * chunk.rows // max(1, chunk.size)))
            page = None if chunk.end is None else _Page(window, chunk.end, limit)


async def _chunk(readers: Readers, wanted: Wanted, form: _Form, page: _Page) -> tuple[_Chunk, int]:
    """The next chunk, of fewer rows where the database has no room for more; and how many were asked for."""
    for left in reversed(range(_TRIES)):
        try:
            work = partial(_read, wanted=wanted, form=form, page=page)
            return await readers.run(work), page.limit
        except Busy:
            if not left:
                raise
            page = page._replace(limit=max(1, page.limit // 2))
            await asyncio.sleep(1)
    raise AssertionError("unreachable")


async def _patiently(readers: Readers, work: Callable[[Client], Any]) -> Any:
    for left in reversed(range(_TRIES)):
        try:
            return await readers.run(work)
        except Busy:
            if not left:
                raise
            await asyncio.sleep(1)
    raise AssertionError("unreachable")


def _bounds(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    time, _ = KEYS[wanted.table]
    condition = (
        f"project = {{project:String}} AND {time} >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC') "
        f"AND {time} < fromUnixTimestamp64Nano({{until:Int64}}, 'UTC')"
    )
    return condition, {"project": wanted.project, "since": wanted.start_ns, "until": wanted.end_ns}


def _windows(client: Client, wanted: Wanted) -> Iterator[_Window]:
    """Hours, several of them together where they have few rows."""
    time, _ = KEYS[wanted.table]
    condition, parameters = _bounds(wanted)
    sql = (
        f"SELECT toUnixTimestamp(toStartOfHour({time})) AS hour, count() FROM {wanted.table} "  # noqa: S608
        f"WHERE {condition} GROUP BY hour ORDER BY hour"
    )
    first, rows, last = None, 0, 0
    for hour, count in client.query(sql, parameters=parameters).result_rows:
        if first is not None and rows + count > _WINDOW_ROWS:
            yield _Window(first, last)
            first, rows = None, 0
        first, last, rows = (hour if first is None else first), hour, rows + count
    if first is not None:
        yield _Window(first, last)


def _read(client: Client, wanted: Wanted, form: _Form, page: _Page) -> _Chunk:
    window, after, limit = page
    time, keys = KEYS[wanted.table]
    condition, parameters = _bounds(wanted)
    condition += (
        f" AND toStartOfHour({time}) >= toDateTime({{first_hour:UInt32}}, 'UTC')"
        f" AND toStartOfHour({time}) <= toDateTime({{last_hour:UInt32}}, 'UTC')"
    )
    parameters |= window._asdict()
    order = ", ".join((f"toStartOfHour({time})", *keys))
    if after is not None:
        beyond, more = _place(time, keys, after, "after")
        condition += f" AND ({order}) > ({beyond})"
        if window.last_hour == window.first_hour:
            # Of a tuple the index does not know the parts.
            condition += " AND trace_id >= unhex({after_0:String})"
        parameters |= more
    # The place of the last row of the chunk, from the columns of the key alone. Copies make a chunk smaller.
    shown = ", ".join((f"toString(toUnixTimestamp(toStartOfHour({time})))", *map(_shown, keys)))
    found = client.query(
        f"SELECT {shown} FROM {wanted.table} WHERE {condition} ORDER BY {order} "  # noqa: S608
        f"LIMIT 1 OFFSET {{last:UInt32}}",
        parameters=parameters | {"last": limit - 1},
    ).result_rows
    end = None
    if found:
        hour, *place = found[0]
        end = (*place, hour)
        upto, more = _place(time, keys, end, "upto")
        condition += f" AND ({order}) <= ({upto})"
        if window.last_hour == window.first_hour:
            condition += " AND trace_id <= unhex({upto_0:String})"
        parameters |= more
    sql = f"SELECT {form.select} FROM {wanted.table} FINAL WHERE {condition} ORDER BY {order}"  # noqa: S608
    return _Chunk(*form.take(client, sql, parameters), end)


def _shown(key: str) -> str:
    return f"toString(toUnixTimestamp64Nano({key}))" if key.endswith("time") else f"hex({key})"


def _place(time: str, keys: Sequence[str], place: tuple[str, ...], name: str) -> tuple[str, dict[str, Any]]:
    """A place in the sorting key as the values of a tuple: the keys', and the hour, which stands last."""
    *values, hour = place
    parameters: dict[str, Any] = {f"{name}_{n}": value for n, value in enumerate(values)}
    parameters[f"{name}_hour"] = int(hour)
    sizes = {"trace_id": 16, "span_id": 8, "id": 16}
    said = [f"toDateTime({{{name}_hour:UInt32}}, 'UTC')"]
    for n, key in enumerate(keys):
        if key == time:
            parameters[f"{name}_{n}"] = int(values[n])
            said.append(f"fromUnixTimestamp64Nano({{{name}_{n}:Int64}}, 'UTC')")
        else:
            said.append(f"toFixedString(unhex({{{name}_{n}:String}}), {sizes[key]})")
    return ", ".join(said), parameters


def header(wanted: Wanted, columns: Sequence[Column]) -> dict[str, Any]:
    """What a file says of itself."""
    return {
        "version": FORMAT_VERSION,
        "table": wanted.table,
        "project": wanted.project,
        "start_ns": wanted.start_ns,
        "end_ns": wanted.end_ns,
        "columns": [column.name for column in columns],
    }


class _Jsonl:
    """A line that says what follows, a line for each row with every column, and a line with their number."""

    media_type = "application/x-ndjson"

    def __init__(self, wanted: Wanted, columns: Sequence[Column]) -> None:
        self._header = header(wanted, columns)
        self.select = ", ".join(f"`{column.name}`" for column in columns)
        self._shown = ", ".join(f"{column.as_json} AS `{column.name}`" for column in columns)

    def head(self) -> bytes:
        return orjson.dumps({"spanledger_export": self._header}, option=orjson.OPT_APPEND_NEWLINE)

    def take(self, client: Client, sql: str, parameters: dict[str, Any]) -> tuple[bytes, int, int]:
        # Around it, so that conditions and order see the columns and not the expressions of their names.
        shown = f"SELECT {self._shown} FROM ({sql})"  # noqa: S608
        data = client.raw_query(shown, parameters=parameters, fmt="JSONEachRow")
        return data, data.count(b"\n"), len(data)

    def piece(self, data: bytes) -> bytes:
        return data

    def end(self, rows: int) -> bytes:
        return orjson.dumps({"spanledger_end": {"rows": rows}}, option=orjson.OPT_APPEND_NEWLINE)


class _Parquet:
    """One row group for each chunk; what the file says of itself is among its metadata."""

    media_type = "application/vnd.apache.parquet"

    def __init__(self, wanted: Wanted, columns: Sequence[Column]) -> None:
        self._schema = arrow_schema(columns).with_metadata(
            {"spanledger_export": orjson.dumps(header(wanted, columns))}
        )
        self.select = ", ".join(f"`{column.name}`" for column in columns)
        self._sink = _Sink()
        self._writer: Any = pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def head(self) -> bytes:
        return self._sink.taken()

    def take(self, client: Client, sql: str, parameters: dict[str, Any]) -> tuple[Any, int, int]:
        data = client.raw_query(sql, parameters=parameters, fmt="ArrowStream")
        if not data:
            return None, 0, 0
        table = pa.ipc.open_stream(data).read_all()
        return table.cast(self._schema), table.num_rows, len(data)

    def piece(self, table: Any) -> bytes:
        self._writer.write_table(table)
        return self._sink.taken()

    def end(self, rows: int) -> bytes:
        self._writer.add_key_value_metadata({"spanledger_rows": str(rows)})
        self._writer.close()
        return self._sink.taken()


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, column.arrow) for column in columns])


class _Sink(io.RawIOBase):
    """A file that gives what was written so far and keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


class _Otlp:
    """Lines of OTLP/JSON, for any collector that reads files: TracesData or LogsData."""

    media_type = "application/x-ndjson"

    def __init__(self, wanted: Wanted, _columns: Sequence[Column]) -> None:
        self.select = SPAN_COLUMNS if wanted.table == "spans" else LOG_COLUMNS
        self._write = spans_otlp if wanted.table == "spans" else logs_otlp

    def head(self) -> bytes:
        return b""

    def take(self, client: Client, sql: str, parameters: dict[str, Any]) -> tuple[bytes, int, int]:
        rows = list(client.query(sql, parameters=parameters).named_results())
        data = self._write(rows, as_json=True) if rows else b""
        return data, len(rows), len(data)

    def piece(self, data: bytes) -> bytes:
        return data + b"\n"

    def end(self, rows: int) -> bytes:  # noqa: ARG002 - as the others have it
        return b""


_FORMS: dict[str, Any] = {"jsonl": _Jsonl, "parquet": _Parquet, "otlp": _Otlp}
MEDIA_TYPES = {name: form.media_type for name, form in _FORMS.items()}
