"""server.logs and server.log_errors: one line an event, and nothing in it of what was sent."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from otlp_requests import llm_span, request, span
from otlp_sender import Sender
from processes import (
    _ended,
    clean_environment,
    running_clickhouse,
    running_ledger,
    serve_command,
    wait_until,
)

from spanledger.schemas.database import connect, parse_target

KEY = "the-key-5c1d93aa"
WRONG_KEY = "another-key-77e0b2"
PASSWORD = "the-password-0f2b"
PROMPT = "Tell nobody about the blue heron"
# As it stands, and as it would stand in an address or in the text of bytes.
TRACES_OF_IT = ("heron", "nobody+about", KEY, WRONG_KEY, PASSWORD, PROMPT.encode().hex())

FAILING = """
import logging, sys
import structlog
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError
from spanledger.schemas.errors import BadData, Busy
from spanledger.server.logs import configure_logs

configure_logs("debug", sys.argv[1])
ours = logging.getLogger("spanledger.test")
theirs = logging.getLogger("urllib3.connectionpool")
structured = structlog.get_logger("spanledger.test")


def fail(prompt):
    held = {"prompt": prompt}
    try:
        raise ValueError(f"cannot read {held}")
    except ValueError as error:
        raise DatabaseError(f"Code: 6. Cannot parse '{prompt}'", code=6, name="CANNOT_PARSE_TEXT") from error


def attempt(log):
    try:
        fail("heron")
    except DatabaseError:
        log()


attempt(lambda: ours.exception("error %s in %s", "id-1", "/api/v1/traces"))
attempt(lambda: structured.exception("structured failure", number=3))
attempt(lambda: theirs.error("Exception in callback\\nhandle: heron", exc_info=True))
for error in (
    DatabaseError("Code: 60. Unknown table 'spans'. In scope SELECT 'heron'", code=60, name="UNKNOWN_TABLE"),
    DatabaseError("Code: 62. Syntax error: heron", code=62, name="SYNTAX_ERROR"),
    DataError("cannot make a column of heron"),
    OperationalError("Exceeded with url: /?query=heron (Caused by X: [Errno 111] Connection refused)"),
    OSError(28, "No space left on device"),
    Busy("the limit is 5 bytes"),
    BadData("no id in heron"),
    KeyError("heron"),
):
    ours.warning("an insert failed: %.500s", error)
    structured.warning("a query failed", why=error)
theirs.debug("GET /?q=heron")
theirs.info("GET /?q=heron")
theirs.warning("Retrying %s after %r, %d left", "/?q=heron", ValueError("heron"), 2)
ours.debug("of %d", "no number")
ours.info("first\\nsecond \\x1b[31mred")
"""


def printed(log_format: str) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-c", FAILING, log_format],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=clean_environment(),
    )
    assert not finished.stdout
    return finished.stderr.splitlines()


def test_an_error_is_one_json_line_with_its_kind_its_places_and_its_cause_and_no_data():
    lines = printed("json")
    assert "heron" not in "\n".join(lines)
    events = [json.loads(line) for line in lines]
    for event in events[:3]:
        assert event["level"] == "error"
        assert re.fullmatch(
            r"DatabaseError: 6 CANNOT_PARSE_TEXT at <string>:\d+ fail < <string>:\d+ attempt"
            r" caused by ValueError at <string>:\d+ fail",
            event["error"],
        )
    assert events[0]["event"] == "error id-1 in /api/v1/traces"
    assert events[1]["number"] == 3
    assert events[2]["event"] == "Exception in callback"


def test_what_an_error_says_of_the_server_is_told():
    events = [json.loads(line) for line in printed("json")]
    told = [event["event"] for event in events if event["event"].startswith("an insert failed")]
    assert told == [
        "an insert failed: DatabaseError: 60 UNKNOWN_TABLE: Code: 60. Unknown table 'spans'.",
        "an insert failed: DatabaseError: 62 SYNTAX_ERROR",
        "an insert failed: DataError",
        "an insert failed: OperationalError: [Errno 111] Connection refused",
        "an insert failed: OSError: No space left on device (errno 28)",
        "an insert failed: Busy: the limit is 5 bytes",
        "an insert failed: BadData",
        "an insert failed: KeyError",
    ]
    why = [event["why"] for event in events if event["event"] == "a query failed"]
    assert [f"an insert failed: {text}" for text in why] == told


def test_other_libraries_are_heard_from_warnings_on_and_without_their_arguments():
    events = [json.loads(line) for line in printed("json")]
    theirs = [event["event"] for event in events if event["logger"].startswith("urllib3")]
    assert theirs == ["Exception in callback", "Retrying … after 'ValueError', 2 left"]


def test_a_line_for_a_person_is_one_line_and_cannot_steer_the_terminal():
    lines = printed("console")
    assert len(lines) == len(printed("json"))
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[", line) for line in lines)
    assert r"first\nsecond \x1b[31mred" in lines[-1]
    assert "\x1b" not in "".join(lines)
    assert "heron" not in "".join(lines)


@contextlib.contextmanager
def told_to_a_person(folder: Path, database: str, **settings: Any) -> Iterator[tuple[int, int, Path]]:
    """A ledger that logs for a person: its gRPC and API port, and its log."""
    log = folder / "console.log"
    with log.open("wb") as stderr:
        command = serve_command(database, log_format="console", **settings)
        process = subprocess.Popen(command, stderr=stderr, env=clean_environment(), cwd=folder)
    with _ended(process):
        wait_until(lambda: " ready " in log.read_text(), 60)
        text = log.read_text()
        grpc, api = (
            int(re.findall(rf"{said} .*port=(\d+)", text)[0])
            for said in ("OTLP over gRPC", "answering queries")
        )
        yield grpc, api, log


@contextlib.contextmanager
def told_to_a_program(folder: Path, database: str, **settings: Any) -> Iterator[tuple[int, int, Path]]:
    with running_ledger(folder, database, **settings) as ledger:
        yield ledger.ports["grpc"], ledger.ports["api"], ledger.log


def provoke(grpc: int, api: int) -> None:
    """Send content, garbage and wrong keys in every way there is."""
    for port in (grpc, api):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(f"POST {PROMPT}\r\nX-Key {WRONG_KEY}\r\n\r\n{PROMPT}".encode())
            raw.settimeout(2)
            with contextlib.suppress(OSError):
                raw.recv(1000)
    good = request(llm_span(gen_ai__input__messages=PROMPT), resource={"service.name": PROMPT})
    body = good.SerializeToString()
    bad = request(span(span_id=b"bad", name=PROMPT), span(name=PROMPT))
    with Sender(grpc, key=KEY) as sender:
        assert sender.send(bad).rejected == 1
        for wrong in (body[:-3], PROMPT.encode(), request(span(span_id=b"bad", name=PROMPT)), body * 200):
            assert sender.send(wrong).code in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
        assert sender.send(body, method="/heron/Export").code == "UNIMPLEMENTED"
    for key in (WRONG_KEY, None):
        with Sender(grpc, key=key) as sender:
            assert sender.send(good).code == "UNAUTHENTICATED"
    with httpx.Client(base_url=f"http://127.0.0.1:{api}", trust_env=False, timeout=40) as client:
        for key, status in ((KEY, {200, 400, 404, 503}), (WRONG_KEY, {401})):
            headers = {"Authorization": f"Bearer {key}", "X-Note": PROMPT}
            for path in (f"/{PROMPT}", f"/api/v1/traces/{PROMPT}", "/api/v1/traces"):
                answer = client.get(path, headers=headers, params={"service": PROMPT})
                assert answer.status_code in status
            answer = client.get("/api/v1/traces", headers=headers, params={"cursor": PROMPT})
            assert answer.status_code in status


@pytest.mark.slow
@pytest.mark.parametrize("ledger", [told_to_a_program, told_to_a_person])
def test_a_ledger_at_debug_level_prints_no_key_no_content_and_no_bytes_whatever_fails(tmp_path, ledger):
    with running_clickhouse(tmp_path) as clickhouse:
        url = clickhouse.url
        settings = {"api_key": KEY, "log_level": "debug", "max_request_bytes": 50_000}
        with ledger(tmp_path, url, **settings) as (grpc, api, log):
            good = request(llm_span(gen_ai__input__messages=PROMPT), span(name=PROMPT))
            with Sender(grpc, key=KEY) as sender:
                assert sender.send(good).code == "OK"
                provoke(grpc, api)
                clickhouse.kill()
                later = request(llm_span(gen_ai__input__messages=PROMPT), span(name=PROMPT))
                assert sender.send(later).code == "UNAVAILABLE"
                provoke_database_away(api)
            assert KEY in " ".join(serve_command(url, **settings))
        text = log.read_text()
    for trace in TRACES_OF_IT:
        assert trace not in text
    assert "Connection refused" in text
    lines = text.splitlines()
    assert len(lines) > 6
    if ledger is told_to_a_program:
        assert all({"event", "level", "timestamp", "logger"} <= set(json.loads(line)) for line in lines)
    else:
        assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[\w+ *\] ", line) for line in lines)


def provoke_database_away(api: int) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    address = f"http://127.0.0.1:{api}/api/v1/traces"
    for query in ({"service": PROMPT}, {"model": PROMPT}, {"start": PROMPT}):
        answer = httpx.get(address, params=query, headers=headers, trust_env=False, timeout=40)
        assert answer.status_code in {400, 503}


@pytest.mark.slow
def test_a_start_that_fails_with_the_right_password_does_not_print_it(tmp_path):
    """A view stands where a table of a migration belongs, so that a step of the start fails."""
    with running_clickhouse(tmp_path, 0, "default", PASSWORD) as clickhouse:
        url = f"clickhouse://default:{PASSWORD}@127.0.0.1:{clickhouse.port}/spanledger"
        client = connect(parse_target(url), database="default")
        client.command("CREATE DATABASE spanledger")
        client.command("CREATE VIEW spanledger.price_lists AS SELECT 1 AS one")
        client.close()
        failed = subprocess.run(
            serve_command(url, log_level="debug"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(),
            cwd=tmp_path,
        )
    assert failed.returncode == 2
    *events, last = failed.stderr.splitlines()
    assert all(json.loads(event)["event"] == "migration applied" for event in events)
    assert re.match(r"spanledger serve: .* cannot be brought up to date: DatabaseError: \d+ [A-Z]+", last)
    assert PASSWORD not in failed.stdout + failed.stderr
