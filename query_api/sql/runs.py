"""Runs: questions in SQL, a few at a time, each with a client and an answer of its own.

An answer is complete before its first byte leaves: so an error is an error and never half an answer, and who
reads slowly keeps no connection to the database. It waits in a temporary file, of which only the first
mebibyte may be memory.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.query_api.readers import Readers
from spanledger.query_api.sql.analysis import Checked, checked
from spanledger.query_api.sql.clients import MIB, MOST_SECONDS, Bounds, connect_for_sql
from spanledger.query_api.sql.errors import LimitReached, told
from spanledger.query_api.sql.views import database_of_views, make_views
from spanledger.schemas.database import Target, connect
from spanledger.schemas.errors import Busy, Misconfigured, SpanledgerError
from spanledger.schemas.sql_api import SqlFormat

AT_ONCE = 2
_PATIENCE_S = 30.0
# To look at it, to describe it, and to run it.
_DEADLINE_S = 3 * MOST_SECONDS
_CONNECT_S, _ANSWER_S = 3.0, MOST_SECONDS + 10.0
_PIECE = 64 * 1024
_MOST_TEXT_BYTES = 512 * MIB
_MOST_WAITING_BYTES = 1024 * MIB

# Formats by the one of the engine that they are made of.
_ENGINE_FORMATS: dict[SqlFormat, str] = {
    "json": "JSONEachRow",
    "json_arrays": "JSONCompactEachRow",
    "jsonl": "JSONEachRow",
    "csv": "CSV",
    "arrow": "ArrowStream",
    "parquet": "Parquet",
}
# Those that the embedded engine gives in pieces; the others it makes as a whole.
_IN_PIECES = frozenset({"JSONEachRow", "CSV"})
MEDIA_TYPES: dict[SqlFormat, str] = {
    "json": "application/json",
    "json_arrays": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}

_TABLES_SQL = "SELECT name FROM system.tables WHERE database = currentDatabase()"

_log = logging.getLogger("spanledger.query_api")


class Question(NamedTuple):
    """What is asked, of which project."""

    project: str
    query: str
    parameters: Mapping[str, Any]
    format: SqlFormat
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int | None = None


class Answer:
    """A complete answer, read once: `size` bytes, then it is gone. So it is when nobody has it any more."""

    def __init__(self, file: Any, size: int, media_type: str, ended: Callable[[], None]) -> None:
        self.size = size
        self.media_type = media_type
        self._file = file
        self.close = weakref.finalize(self, _end, file, ended)

    def pieces(self) -> Iterator[bytes]:
        while piece := self._file.read(_PIECE):
            yield piece


def _end(file: Any, ended: Callable[[], None]) -> None:
    file.close()
    ended()


class Sql:
    """Answers questions on one database, `AT_ONCE` at a time; the others wait, or come again.

    `restricted`: the same database by a user who may do less; without one, by the same user. Raises
    Misconfigured where it is another one.
    """

    def __init__(self, target: Target, restricted: Target | None = None) -> None:
        if restricted is not None and (
            target.embedded or restricted.embedded or target.database != restricted.database
        ):
            raise Misconfigured(
                "SPANLEDGER_SQL_DATABASE must be the database of SPANLEDGER_DATABASE on the same ClickHouse "
                f"server, {target.database}, by another user; an embedded database has no users"
            )
        self._owner = target
        self._target = (restricted or target).with_timeouts(connect_s=_CONNECT_S, answer_s=_ANSWER_S)
        # Of its own, so that no long query keeps other routes waiting.
        self._readers = Readers(target, size=AT_ONCE, patience_s=_PATIENCE_S)
        self._making = threading.Lock()
        self._made = False
        self._waiting = _Waiting()

    async def answer(self, question: Question) -> Answer:
        """BadData where the query is wrong or not allowed, LimitReached where it needs too much."""
        return await self._readers.run(lambda reader: self._answer(reader, question), deadline_s=_DEADLINE_S)

    def close(self) -> None:
        self._readers.close()

    def _answer(self, reader: Client, question: Question) -> Answer:
        self._make_views()
        whole = self._target.embedded and _ENGINE_FORMATS[question.format] not in _IN_PIECES
        bounds = Bounds(question.since_ns, question.until_ns, question.limit, whole)
        tables = {str(row[0]): self._target.database for row in reader.query(_TABLES_SQL).result_rows}
        views = database_of_views(self._target.database)
        try:
            client = connect_for_sql(self._target, question.project, tables, bounds)
            try:
                return self._run(client, question)
            finally:
                client.close()
        except (ClickHouseError, OSError) as error:
            made = told(error, views, bounds)
            if isinstance(made, Busy):
                _log.warning("a question in SQL failed: %.500s", error)
            raise made from error

    def _run(self, client: Client, question: Question) -> Answer:
        query = checked(client, question.query, question.parameters)
        kept = self._waiting.place()
        file = tempfile.SpooledTemporaryFile(max_size=MIB, dir=self._folder())  # noqa: SIM115
        try:
            for piece in _written(client, query, question.format):
                kept.add(len(piece))
                file.write(piece)
            file.seek(0)
        except BaseException:
            file.close()
            kept.end()
            raise
        return Answer(file, kept.bytes, MEDIA_TYPES[question.format], kept.end)

    def _folder(self) -> str | None:
        """Beside the database, where there is room for it; /tmp may be memory."""
        if not self._owner.embedded:
            return None
        folder = Path(self._owner.path) / "tmp"
        folder.mkdir(exist_ok=True)
        return str(folder)

    def _make_views(self) -> None:
        with self._making:
            if self._made:
                return
            try:
                client = connect(self._owner)
                try:
                    make_views(client, self._owner.database)
                finally:
                    client.close()
            except (SpanledgerError, ClickHouseError, OSError) as error:
                _log.warning("the views of SQL could not be made: %.500s", error)
                raise Busy(
                    "The views of SQL are not there and could not be made: the log says why"
                ) from error
            self._made = True


class _Waiting:
    """Bytes of answers that are not read yet; all of them together are bounded."""

    def __init__(self) -> None:
        self._bytes = 0
        self._lock = threading.Lock()

    def place(self) -> _Place:
        return _Place(self)

    def change(self, by: int) -> None:
        with self._lock:
            if by > 0 and self._bytes + by > _MOST_WAITING_BYTES:
                raise Busy("Answers of other questions take all the room there is", retry_after_s=5)
            self._bytes += by


class _Place:
    """What one answer takes of it."""

    def __init__(self, waiting: _Waiting) -> None:
        self._waiting = waiting
        self.bytes = 0

    def add(self, size: int) -> None:
        if self.bytes + size > _MOST_TEXT_BYTES:
            raise LimitReached(f"The answer is longer than {_MOST_TEXT_BYTES // MIB} MiB: say `limit`")
        self._waiting.change(size)
        self.bytes += size

    def end(self) -> None:
        self._waiting.change(-self.bytes)
        self.bytes = 0


def _written(client: Client, query: Checked, form: SqlFormat) -> Iterator[bytes]:
    """The answer in a format, in pieces."""
    # Of the two kinds of stream there are only asynchronous clients give the other.
    stream: Any = client.raw_stream(
        query.text, parameters=query.parameters or None, fmt=_ENGINE_FORMATS[form]
    )
    try:
        pieces = iter(lambda: stream.read(_PIECE), b"")
        if form in ("json", "json_arrays"):
            yield from _as_json(pieces, query.columns)
        elif form == "csv":
            yield _csv_line([name for name, _ in query.columns])
            yield from pieces
        else:
            yield from pieces
    finally:
        stream.close()


def _as_json(lines: Iterator[bytes], columns: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """Lines of JSON as the member `rows` of an object; the lines are not read."""
    head = [{"name": name, "type": kind} for name, kind in columns]
    yield b'{"columns":' + json.dumps(head, ensure_ascii=False).encode() + b',"rows":['
    count, open_line = 0, False
    for piece in lines:
        count += piece.count(b"\n")
        # The end of a line is a comma once there is a line behind it.
        text = (b",\n" if open_line else b"") + piece.replace(b"\n", b",\n")
        open_line = piece.endswith(b"\n")
        yield text[:-2] if open_line else text
    yield b'],"row_count":' + str(count).encode() + b"}\n"


def _csv_line(names: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()
