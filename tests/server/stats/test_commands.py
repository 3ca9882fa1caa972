"""`spanledger stats`, `conversations` and `users`: what a person asks is on the screen."""

from __future__ import annotations

import json
import secrets

import pytest
from otlp_requests import SECOND, llm_span, request, span

from spanledger.server.cli import main

T0 = 1_760_000_000 * SECOND  # 2025-10-09T08:53:20Z
DAY = 86_400


@pytest.fixture
def run(serving, capsys):
    """Run `spanledger` with these arguments; the lines that it prints."""
    url = serving()

    def run(*arguments, code=0):
        assert main([*arguments, "--api", url]) == code
        shown = capsys.readouterr()
        return [line.rstrip() for line in (shown.out + shown.err).splitlines()]

    return run


def call(second, *, ms=1000, trace_id=None, **more):
    made = llm_span(trace_id, **more)
    made.start_time_unix_nano = T0 + second * SECOND
    made.end_time_unix_nano = made.start_time_unix_nano + ms * 1_000_000
    return made


def row(lines, *beginning):
    [line] = [line.split() for line in lines if line.split()[: len(beginning)] == list(beginning)]
    return line


def test_groups_are_a_table_with_the_rest_and_all_together(run, ingest):
    sent = [call(n, model=model) for n, model in enumerate(["gpt-4o-mini"] * 3 + ["house-model"] * 2 + ["m"])]
    sent[0].status.code = 2
    ingest(request(*sent))
    shown = run("stats", "--by", "model", "--limit", "2")
    assert row(shown, "model")[1:4] == ["calls", "errors", "tokens"]
    assert row(shown, "gpt-4o-mini")[1:] == [
        *("3", "1", "3,000→300", "$0.00063", "-", "1.00", "s", "1.00", "s", "100"),
    ]
    assert row(shown, "house-model")[1:6] == ["2", "0", "2,000→200", "-", "2"]
    assert row(shown, "1", "others")[2:4] == ["1", "0"]
    assert row(shown, "all")[1:4] == ["6", "1", "6,000→600"]


def test_pieces_of_time_are_in_the_days_of_the_zone(run, ingest):
    ingest(request(call(0), call(3 * DAY), span(start_time_unix_nano=T0)))
    shown = run("stats", "--bucket", "day", "--zone", "Asia/Tokyo", "--spans")
    assert [line.split()[:3] for line in shown[1:]] == [["2025-10-09", "2", "1"], ["2025-10-12", "1", "1"]]


def test_a_chart_has_a_bar_for_each_piece_of_time(run, ingest):
    ingest(request(call(0), call(1), call(2 * DAY)))
    shown = run("stats", "--plot", "cost", "--model", "gpt-4o-mini")
    assert shown[0] == "cost by day, UTC"
    bars = [line.count("█") for line in shown[1:]]
    assert [line.split()[-1] for line in shown[1:]] == ["$0.00042", "$0.00", "$0.00021"]
    assert (bars[0] // 2, bars[1]) == (bars[2], 0)
    assert run("stats", "--plot")[0] == "calls by day, UTC"


def test_what_cannot_be_is_one_line(run):
    [line] = run("stats", "--zone", "Nowhere", "--bucket", "day", code=2)
    assert "an IANA name" in line
    assert run("stats") == ["No calls."]
    [line] = run("conversations", "no-such", code=2)
    assert "No conversation 'no-such' is stored" in line


def test_conversations_and_users_are_listed_and_shown(run, ingest):
    trace = secrets.token_bytes(16)
    said = {
        "gen_ai__input__messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": "how \x1b[31mmany?"}]}]
        ),
        "gen_ai__output__messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "two"}]}]
        ),
    }
    one = call(0, trace_id=trace, gen_ai__conversation__id="a/b", user__id="ann", **said)
    ingest(request(one))
    assert row(run("conversations"), "a/b")[1:6] == ["2025-10-09", "08:53", "1", "1", "0"]
    assert row(run("users"), "ann")[6:8] == ["1,100", "$0.00021"]
    shown = run("conversations", "a/b")
    assert shown[0].startswith("conversation a/b · 1 trace · 1 call · 1,100 tokens · $0.00021")
    assert "< two" in [line.strip() for line in shown]
    assert "\x1b" not in "".join(shown)
    assert f"  trace {trace.hex()}" in shown
    assert row(run("users", "ann"), "a/b")[3] == "1"
    assert run("users", "--since", "1h") == ["No users."]
    assert run("conversations", "--user", "bob") == ["No conversations."]
