"""Import: rows of an export back into the ledger, checked column by column, whatever project they came from.

Rows keep their ids and the time of their arrival, so importing a file twice changes nothing, and a span that
is stored with a newer arrival stays as it is. What stands before a mistake is stored; the error says where
the mistake is.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from clickhouse_connect.driver.client import Client

from spanledger.query_api.readers import Writer
from spanledger.query_api.upkeep.columns import Column, columns_of
from spanledger.query_api.upkeep.export import FORMAT_VERSION, KEYS, arrow_schema
from spanledger.schemas.errors import BadData, Busy, TooLarge
from spanledger.schemas.memory import Memory
from spanledger.schemas.removals import Removed
from spanledger.schemas.rewriting import INSERT_SETTINGS

MOST_LINE_BYTES = 256 << 20
MOST_FILE_BYTES = 16 << 30  # of a Parquet file, which waits on disk until it is there
_CHUNK_BYTES = 4 << 20
_CHUNK_ROWS = 2_000
_TRIES = 30
_NEEDED = {name: {"trace_id", "span_id", time, *keys} for name, (time, keys) in KEYS.items()}


class Imported(NamedTuple):
    """How many rows a file had, and how many of them are not stored: their trace was deleted, or they are
    from before what the project keeps.
    """

    table: str
    rows: int
    deleted: int
    expired: int


class _Layout(NamedTuple):
    """The columns that the rows of a file have, as the table has them."""

    table: str
    columns: list[Column]

    @property
    def schema(self) -> pa.Schema:
        return arrow_schema(self.columns)


async def import_jsonl(sink: Sink, pieces: AsyncIterator[bytes]) -> Imported:
    """Store the rows of a file of lines as they come. BadData names the line. Busy where lines of other files
    take all the memory that there is for long ones.
    """
    with sink.memory.share() as hold:
        return await _import_lines(sink, _lines(pieces, hold))


async def _import_lines(sink: Sink, lines: AsyncIterator[bytes]) -> Imported:
    reading = _Lines()
    async for line in lines:
        if reading.layout is None:
            head = _head(_object(line, 1).get("spanledger_export"), "line 1")
            reading.layout = await sink.patiently(partial(_layout, head=head))
            continue
        reading.add(line)
        if reading.is_full():
            await sink.store(reading.layout, reading.taken())
    if reading.layout is None:
        raise BadData("The file is empty: its first line must be that of an export")
    await sink.store(reading.layout, reading.taken())
    reading.finish()
    return sink.imported(reading.layout.table, reading.rows)


class _Lines:
    """Reads the lines of a file, row by row."""

    def __init__(self) -> None:
        self.layout: _Layout | None = None
        self.rows = 0
        self._said_rows: int | None = None
        self._line = 1
        self._size = 0
        self._waiting: list[list[Any]] = []

    def add(self, line: bytes) -> None:
        self._line += 1
        if self._said_rows is not None:
            raise BadData(f"line {self._line}: something stands behind the last line of the export")
        row = _object(line, self._line)
        if row.keys() == {"spanledger_end"}:
            end = row["spanledger_end"]
            self._said_rows = end.get("rows") if isinstance(end, dict) else None
            if self._said_rows != self.rows:
                raise BadData(
                    f"line {self._line}: the file says that it has {self._said_rows} rows; it has {self.rows}"
                )
            return
        self._waiting.append(self._row(row))
        self._size += len(line)
        self.rows += 1

    def _row(self, row: Mapping[str, Any]) -> list[Any]:
        assert self.layout is not None  # noqa: S101 - as the first line gave it
        columns = self.layout.columns
        if len(row) != len(columns) or any(column.name not in row for column in columns):
            names = {column.name for column in columns}
            wrong = sorted(names ^ row.keys())[:3]
            raise BadData(
                f"line {self._line}: the columns are not those of the first line: {', '.join(wrong)}"
            )
        found = []
        for column in columns:
            try:
                found.append(column.read(row[column.name]))
            except ValueError as error:
                raise BadData(
                    f"line {self._line}: {column.name} is {_shown(row[column.name])}; allowed: {error}"
                ) from None
        lengths: dict[str, int] = {}
        for column, value in zip(columns, found, strict=True):
            group, dot, _ = column.name.partition(".")
            if dot and lengths.setdefault(group, len(value)) != len(value):
                raise BadData(f"line {self._line}: the lists of {group} have different lengths")
        return found

    def is_full(self) -> bool:
        return self._size >= _CHUNK_BYTES or len(self._waiting) >= _CHUNK_ROWS

    def taken(self) -> pa.Table | None:
        """What waits, as a table."""
        rows, self._waiting, self._size = self._waiting, [], 0
        if not rows or self.layout is None:
            return None
        arrays = [
            pa.array(values, column.arrow)
            for column, values in zip(self.layout.columns, zip(*rows, strict=True), strict=True)
        ]
        return pa.table(arrays, schema=self.layout.schema)

    def finish(self) -> None:
        if self._said_rows is None:
            raise BadData(
                f"line {self._line} is the last one, and not the end of an export: the file was cut off. Its "
                f"{self.rows} rows are stored; export again, and import that, which changes none of them"
            )


async def _lines(pieces: AsyncIterator[bytes], hold: Callable[[int], None]) -> AsyncIterator[bytes]:
    """The lines of a stream without their ends; the last one may have none. `hold` is told of long ones."""
    rest: list[bytes] = []
    size, number = 0, 0
    async for piece in pieces:
        first, *more = piece.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > MOST_LINE_BYTES:
            raise TooLarge(f"line {number + 1} is longer than {MOST_LINE_BYTES >> 20} MiB")
        here = max(size, len(piece))
        hold(here if here > _CHUNK_BYTES else 0)
        for line in more:
            number += 1
            yield b"".join(rest)
            rest, size = [line], len(line)
    if size:
        yield b"".join(rest)


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except ValueError as error:
        raise BadData(f"line {number} is no JSON in UTF-8, or was cut off ({error})") from None
    if not isinstance(found, dict):
        raise BadData(f"line {number} is no JSON object")
    return found


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:40]}... of {len(text)} characters"


async def import_parquet(sink: Sink, pieces: AsyncIterator[bytes]) -> Imported:
    """Store the rows of a Parquet file, kept on disk until it is whole. BadData names the row group."""
    with tempfile.TemporaryFile(prefix="spanledger-import-") as file:
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > MOST_FILE_BYTES:
                raise TooLarge(f"The file is larger than {MOST_FILE_BYTES >> 30} GiB: export less time")
            await asyncio.to_thread(file.write, piece)
        return await _import_file(sink, file)


async def _import_file(sink: Sink, file: BinaryIO) -> Imported:
    try:
        read = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise BadData(f"This is no Parquet file, or was cut off ({str(error)[:200]})") from None
    metadata = read.schema_arrow.metadata or {}
    head = _head(_json(metadata.get(b"spanledger_export")), "the metadata of the file")
    layout = await sink.patiently(partial(_layout, head=head))
    found = {field.name: field.type for field in read.schema_arrow}
    for column in layout.columns:
        if found.get(column.name) != column.arrow:
            raise BadData(f"column {column.name} is {found.get(column.name)}; allowed: {column.arrow}")
    names = [column.name for column in layout.columns]
    rows = 0
    for group in range(read.num_row_groups):
        try:
            table = await asyncio.to_thread(read.read_row_group, group, names)
        except (pa.ArrowException, OSError) as error:
            raise BadData(f"row group {group + 1} cannot be read ({str(error)[:200]})") from None
        for first in range(0, table.num_rows, _CHUNK_ROWS):
            part = table.slice(first, _CHUNK_ROWS)
            _check(part, layout, f"row group {group + 1}, rows {first + 1} to {first + part.num_rows}")
            await sink.store(layout, part)
            rows += part.num_rows
    return sink.imported(layout.table, rows)


def _check(table: pa.Table, layout: _Layout, place: str) -> None:
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise BadData(f"{place}: {str(error)[:200]}") from None
    lengths: dict[str, Any] = {}
    for column in layout.columns:
        values = table[column.name]
        suspects = [None] if values.null_count else []
        if pa.types.is_timestamp(column.arrow) and values.null_count < len(values):
            suspects += pc.min_max(values.cast(pa.int64())).as_py().values()
        elif column.words is not None:
            suspects += pc.unique(values).to_pylist()
        for value in suspects:
            _read(column, value, place)
        group, dot, _ = column.name.partition(".")
        if dot:
            found = pc.list_value_length(values)
            if not lengths.setdefault(group, found).equals(found):
                raise BadData(f"{place}: the lists of {group} have different lengths")


def _read(column: Column, value: Any, place: str) -> None:
    try:
        column.read(value)
    except ValueError as error:
        raise BadData(f"{place}: {column.name} is {_shown(value)}; allowed: {error}") from None


def _json(text: bytes | None) -> Any:
    try:
        return orjson.loads(text or b"")
    except ValueError:
        return None


def _head(said: Any, place: str) -> Mapping[str, Any]:
    """What a file says of itself, where it is an export that can be read."""
    if not isinstance(said, dict):
        raise BadData(f"{place}: this is no export of spanledger in this format")
    if said.get("version") != FORMAT_VERSION:
        raise BadData(f"{place}: version {said.get('version')} of the format; allowed: {FORMAT_VERSION}")
    if not isinstance(said.get("table"), str) or said["table"] not in KEYS:
        raise BadData(f"{place}: no table {_shown(said.get('table'))}; allowed: {', '.join(KEYS)}")
    columns = said.get("columns")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise BadData(f"{place}: columns must be a list of names")
    return said


def _layout(client: Client, head: Mapping[str, Any]) -> _Layout:
    """The columns that a file names. Those that it lacks, being older than they are, get their defaults."""
    table, named = str(head["table"]), head["columns"]
    known = {column.name: column for column in columns_of(client, table)}
    unknown = [name for name in named if name not in known]
    if unknown or len(set(named)) != len(named):
        raise BadData(
            f"columns that {table} does not have, or that are named twice: {', '.join(unknown[:5])}; "
            "is the file of a newer version?"
        )
    missing = sorted(_NEEDED[table] - set(named))
    if missing:
        raise BadData(f"without {', '.join(missing)} a row of {table} is none")
    return _Layout(table, [known[name] for name in named])


class Sink:
    """Where rows of a file go: into a project, but for those that must not be stored any more."""

    def __init__(self, writer: Writer, project: str, removed: Callable[[], Removed], memory: Memory) -> None:
        self.memory = memory
        self._writer = writer
        self._project = project
        self._removed = removed
        self._deleted = self._expired = 0

    async def store(self, layout: _Layout, table: pa.Table | None) -> None:
        """Store the rows; whatever the file says, they are the project's."""
        if table is not None:
            table = self._kept(layout, _of_project(table, self._project))
        if table is None or not table.num_rows:
            return
        blocks = [(layout.table, table)]
        if layout.table == "spans":
            # First, so that no stored span ever lies outside its trace's times.
            blocks.insert(0, ("trace_times", _trace_times(table)))

        def insert(client: Client) -> None:
            for name, rows in blocks:
                columns = [f"`{column}`" for column in rows.schema.names]
                client.raw_insert(name, columns, _arrow(rows), INSERT_SETTINGS, "ArrowStream")

        await self.patiently(insert)

    def _kept(self, layout: _Layout, table: pa.Table) -> pa.Table:
        removed = self._removed()
        of = removed.of(self._project, time.time_ns())
        starts = table[KEYS[layout.table][0]].cast(pa.int64())
        expired = pc.less(starts, of.kept_from_ns)
        halves = np.ascontiguousarray(removed.traces[:, of.first : of.last].T)
        ids = pa.Array.from_buffers(pa.binary(16), len(halves), [None, pa.py_buffer(halves)])
        deleted = pc.and_not(pc.is_in(table["trace_id"], value_set=ids), expired)
        self._expired += pc.sum(expired).as_py() or 0
        self._deleted += pc.sum(deleted).as_py() or 0
        return table.filter(pc.invert(pc.or_(expired, deleted)))

    async def patiently(self, work: Callable[[Client], Any]) -> Any:
        """What `work` returns; while another request writes, it is tried again."""
        for left in reversed(range(_TRIES)):
            try:
                return await self._writer.write(work)
            except Busy:
                if not left:
                    raise
                await asyncio.sleep(1)
        raise AssertionError("unreachable")

    def imported(self, table: str, rows: int) -> Imported:
        return Imported(table, rows, self._deleted, self._expired)


def _of_project(table: pa.Table, project: str) -> pa.Table:
    values = pa.array([project] * table.num_rows, pa.string())
    if "project" in table.schema.names:
        return table.set_column(table.schema.get_field_index("project"), "project", values)
    return table.append_column("project", values)


def _trace_times(table: pa.Table) -> pa.Table:
    times = table.select(["trace_id", "start_time"]).group_by("trace_id")
    found = times.aggregate([("start_time", "min"), ("start_time", "max")])
    return found.select(["trace_id", "start_time_min", "start_time_max"]).rename_columns(
        ["trace_id", "first", "last"]
    )


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


IMPORTERS: Mapping[str, Any] = {"jsonl": import_jsonl, "parquet": import_parquet}
FORMATS: Sequence[str] = tuple(IMPORTERS)
