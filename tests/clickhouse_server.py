"""A double of a ClickHouse server: the real engine (chDB) behind ClickHouse's own HTTP protocol.

Run as `python tests/clickhouse_server.py --path FOLDER [--port N] [--user U --password P]`; it prints
`listening on PORT` once it answers. Every request has a connection of its own, as a real server gives each
its own settings and database. Not here, as spanledger does not ask for it: sessions, progress headers,
external tables, compression of answers.

It can be told to fail, with the body of `PUT /trouble`: `{"status": 500, "code": 241, "done": false}` and
every insert is answered with that, undone, or else done all the same; without a code, as a proxy would
answer in its place. With `"into": "spans"` those into that table only. `{}` ends it.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import re
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chdb
import lz4.frame
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

# Parameters of a request that are no settings of the engine.
_TRANSPORT = frozenset(
    {
        "buffer_size",
        "client_protocol_version",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_id",
        "wait_end_of_query",
    }
)
# An insert that brings its data: INSERT INTO table (columns) FORMAT name, then the data on the next line.
_INSERT = re.compile(
    rb"\s*(INSERT\s+INTO\s+[^\s(]+\s*(?:\([^)]*\))?)\s*FORMAT\s+(\w+)[ \t]*(?:\r?\n|$)", re.IGNORECASE
)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)\.")
_AUTHENTICATION_FAILED = 516
# ClickHouse's own statuses for its error codes (HTTPHandler); anything else is 500.
_STATUS = {6: 400, 27: 400, 62: 400, 47: 404, 60: 404, 81: 404, 497: 403, 516: 403, 241: 500, 159: 408}


class _Asked(NamedTuple):
    """A request: the statement, the data behind it (inserts), and what the address said."""

    statement: bytes
    data: bytes | None
    database: str
    settings: dict[str, str]
    parameters: dict[str, str]


class _Answer(NamedTuple):
    body: bytes
    format: str
    summary: dict[str, str]


class Engine:
    """The engine on one folder; each call opens and closes a connection of its own (0.1 ms)."""

    def __init__(self, path: Path) -> None:
        # Without a connection that stays, each call would start the engine anew.
        self._address = f"{path}?format_schema_path={path}/format_schemas/&tmp_path={path}/tmp/"
        self._keeps_it_open = chdb.connect(self._address)

    def close(self) -> None:
        self._keeps_it_open.close()

    def execute(self, asked: _Asked) -> _Answer:
        connection = chdb.connect(self._address)
        try:
            connection.query(f"USE `{asked.database}`")
            # Once readonly is set nothing else can be, so it comes last.
            for name, value in sorted(asked.settings.items(), key=lambda item: item[0] == "readonly"):
                connection.query(f"SET {_name(name)} = {_quoted(value)}")
            if asked.data is None:
                return _statement(connection, asked)
            return _insert(connection, asked)
        finally:
            connection.close()


def _statement(connection: chdb.Connection, asked: _Asked) -> _Answer:
    named = _FORMAT.search(asked.statement)
    # A statement that has a result always prints the line of names, even without rows; others print nothing.
    wanted = named.group(1).decode() if named else "TabSeparatedWithNames"
    result = connection.query(asked.statement.decode(), wanted, params=asked.parameters)
    body = result.bytes() or b""
    summary = {"read_rows": str(result.rows_read()), "read_bytes": str(result.bytes_read())}
    if named:
        return _Answer(body, wanted, summary)
    return _Answer(body.partition(b"\n")[2], "TabSeparated" if body else "", summary)


def _insert(connection: chdb.Connection, asked: _Asked) -> _Answer:
    found = _INSERT.fullmatch(asked.statement)
    if found is None:
        raise ValueError(f"Code: 62. DB::Exception: not an insert with a FORMAT: {asked.statement[:200]!r}")
    head, data_format = found.group(1).decode().rstrip(), found.group(2).decode()
    with tempfile.NamedTemporaryFile(suffix=".insert") as file:
        file.write(asked.data or b"")
        file.flush()
        result = connection.query(
            f"{head} FROM INFILE {_quoted(file.name)} FORMAT {data_format}", params=asked.parameters
        )
    return _Answer(
        b"", "", {"written_rows": str(result.rows_read()), "written_bytes": str(result.bytes_read())}
    )


def _name(setting: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", setting):
        raise ValueError(
            f"Code: 115. DB::Exception: Setting {setting} is neither a builtin setting nor custom"
        )
    return setting


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _asked(query: Mapping[str, str], body: bytes) -> _Asked:
    statement, data = _split(query.get("query", "").encode(), body)
    return _Asked(
        statement,
        data,
        query.get("database", "default"),
        {k: v for k, v in query.items() if k not in _TRANSPORT and not k.startswith("param_")},
        {k.removeprefix("param_"): v for k, v in query.items() if k.startswith("param_")},
    )


def _split(in_address: bytes, body: bytes) -> tuple[bytes, bytes | None]:
    """The statement and, for an insert that brings data, the data.

    ClickHouse reads the address and the body as one text: the statement may stand in either, and an
    insert's data begins behind the line that names its format.
    """
    text = in_address + (b"\n" if in_address and body else b"") + body
    found = _INSERT.match(text)
    return (text[: found.end()], text[found.end() :]) if found else (text, None)


def _plain(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.decompress(body)
        case "lz4":
            return lz4.frame.decompress(body)
    return body


def create_app(engine: Engine, user: str, password: str) -> Starlette:
    trouble: dict[str, Any] = {}

    async def ping(_request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def make_trouble(request: Request) -> Response:
        trouble.clear()
        trouble.update(await request.json())
        return PlainTextResponse("Ok.\n")

    async def execute(request: Request) -> Response:
        if _login(request) != (user, password):
            return _failure(f"Code: 516. DB::Exception: {_login(request)[0]}: Authentication failed.")
        try:
            sent = await request.body()
        except ClientDisconnect:  # as happens where this process was halted for a while
            return Response(status_code=499)
        body = _plain(sent, request.headers.get("Content-Encoding", ""))
        query = dict(request.query_params)
        if request.headers.get("Content-Type", "").startswith("multipart/form-data"):
            query |= {name: str(value) for name, value in (await request.form()).items()}
            body = b""
        return await _answered(engine, _asked(query, body), dict(trouble))

    return Starlette(
        routes=[
            Route("/ping", ping),
            Route("/trouble", make_trouble, methods=["PUT"]),
            Route("/", execute, methods=["GET", "POST"]),
        ],
    )


def _login(request: Request) -> tuple[str, str]:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        name, _, password = base64.b64decode(credentials).decode().partition(":")
        return name, password
    headers = request.headers
    return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")


async def _answered(engine: Engine, asked: _Asked, trouble: dict[str, Any]) -> Response:
    told = trouble if asked.data is not None and _is_into(asked, trouble.get("into", "")) else {}
    if told and not told["done"]:
        return _told(told)
    try:
        answer = await run_in_threadpool(engine.execute, asked)
    except (chdb.ChdbError, RuntimeError, ValueError) as error:
        return _failure(str(error))
    if told:
        return _told(told)
    headers = {"X-ClickHouse-Summary": json.dumps(answer.summary), "X-ClickHouse-Timezone": "UTC"}
    if answer.format:
        headers["X-ClickHouse-Format"] = answer.format
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


def _is_into(asked: _Asked, table: str) -> bool:
    return not table or re.search(rf"(?i)into\s+`?{table}`?\b".encode(), asked.statement) is not None


def _told(trouble: dict[str, Any]) -> Response:
    """The answer that `PUT /trouble` asked for."""
    if "code" not in trouble:
        return PlainTextResponse("<html>not now</html>", status_code=trouble["status"])
    code = trouble["code"]
    return PlainTextResponse(
        f"Code: {code}. DB::Exception: as it was told. (TOLD)",
        status_code=trouble["status"],
        headers={"X-ClickHouse-Exception-Code": str(code)},
    )


def _failure(message: str) -> Response:
    found = _CODE.search(message)
    code = int(found.group(1)) if found else 0
    headers = {"X-ClickHouse-Exception-Code": str(code)}
    return PlainTextResponse(message, status_code=_STATUS.get(code, 500), headers=headers)


def main() -> None:
    parser = argparse.ArgumentParser(description="chDB behind ClickHouse's HTTP protocol, for tests.")
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    options = parser.parse_args()
    engine = Engine(options.path.resolve())
    listener = socket.create_server(("127.0.0.1", options.port))
    # Answers are written in two pieces; without this the second one waits 40 ms for the first one's receipt.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sys.stdout.write(f"listening on {listener.getsockname()[1]}\n")
    sys.stdout.flush()
    app = create_app(engine, options.user, options.password)
    try:
        uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listener])
    finally:
        engine.close()


if __name__ == "__main__":
    main()
