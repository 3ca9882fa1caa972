"""`spanledger traces` and `spanledger spans`: what a person looks for is on the screen."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from otlp_requests import SECOND, llm_span, request, span

from spanledger.server.cli import main


@pytest.fixture
def run(serving: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Run `spanledger` with these arguments against the API behind a real port; what it prints."""
    url = serving()

    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert main([*arguments, "--api", url]) == code
        shown = capsys.readouterr()
        return shown.out, shown.err

    return run


def test_flags_choose_traces_and_spans(run, ingest):
    now = time.time_ns()
    call = llm_span(model="gpt-4o", user__id="ann", house__level=5, gen_ai__input__messages="blue whale")
    call.start_time_unix_nano, call.end_time_unix_nano = now - 60 * SECOND, now - 58 * SECOND
    call.status.code = 2
    other = llm_span(model="gpt-4o-mini")
    other.start_time_unix_nano, other.end_time_unix_nano = now - 7200 * SECOND, now - 7199 * SECOND
    ingest(request(call, resource={"service.name": "shop"}))
    ingest(request(other, span(start_time_unix_nano=now - 7201 * SECOND), resource={"service.name": "web"}))
    for flags in (
        ["--service", "shop"],
        ["--model", "gpt-4o"],
        ["--model", "gpt-4o", "--model", "no-model"],
        ["--status", "error"],
        ["--user", "ann"],
        ["-q", "BLUE whale"],
        ["--since", "10m"],
        ["--attribute", "house.level >= 5", "--attribute", "house.level < 6"],
        ["--min-duration-ms", "1500"],
        ["--sort", "duration", "--limit", "1"],
    ):
        for command in ("traces", "spans"):
            shown, _ = run(command, *flags)
            assert call.trace_id.hex() in shown, (command, flags)
            assert other.trace_id.hex() not in shown, (command, flags)
    shown, _ = run("spans", "--until", "1h", "--asc", "--count")
    lines = shown.splitlines()
    assert other.trace_id.hex() in lines[2]
    assert "gpt-4o-mini" in lines[2]
    assert "1,000→100" in lines[2]
    assert "$0.00021" in lines[2]
    assert lines[-1].strip() == "2 in all"
    shown, _ = run("spans", "--service", "none")
    assert shown == "No spans.\n"


def test_what_is_wrong_is_one_line_that_says_what_is_allowed(run):
    for flags, said in (
        (["--since", "yesterday"], "--since yesterday: neither an RFC 3339 time"),
        (["--attribute", "k like x"], "no op stands behind the key k"),
        (["--status", "failed"], "ok"),
        (["--limit", "0"], "a whole number from 1 to 500"),
    ):
        shown, error = run("spans", *flags, code=2)
        assert (shown, said in error) == ("", True), error
        assert error.count("\n") == 1
