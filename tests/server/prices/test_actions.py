"""`spanledger prices`: what a person asks is on the screen, what is wrong is one line."""

from __future__ import annotations

import json
import re
import threading
import time
from decimal import Decimal

import pytest
from otlp_requests import llm_span, request

from spanledger.query_api.prices import routes
from spanledger.query_api.prices.reprice import Progress
from spanledger.schemas.errors import Busy
from spanledger.schemas.prices import PRICE_VERSION
from spanledger.schemas.prices.overrides import list_overrides
from spanledger.server.cli import main
from spanledger.server.reading import Api


def row(shown, beginning):
    """The words of the line that begins so."""
    [line] = [line for line in shown.splitlines() if line.strip().startswith(beginning)]
    return line.split()


def test_models_are_listed_with_their_prices(prices):
    shown = prices("list", "gpt-4o-mini", "--provider", "openai", "--source", "genai-prices")
    assert row(shown, "openai:gpt-4o-mini ")[1:4] == ["0.15", "0.6", "0.075"]
    assert row(shown, "model")[:4] == ["model", "in", "out", "cached"]
    assert "USD for a million tokens" in shown
    assert "gpt-4.1" not in shown


def test_a_list_goes_over_pages_and_says_where_it_stops(prices, monkeypatch):
    monkeypatch.setattr("spanledger.server.prices.actions._PAGE", 3)
    shown = prices("list", "--provider", "openai", "--limit", "8")
    assert sum(line.startswith("openai:") for line in shown.splitlines()) == 8
    assert "There are more" in shown


def test_the_price_lists_are_listed(prices):
    assert row(prices("list", "--lists"), PRICE_VERSION)[-1] == "yes"


def test_everything_published_of_a_model_is_shown(prices):
    shown = prices("show", "openai", "gpt-4o-mini")
    assert "known by: equals gpt-4o-mini" in shown
    assert row(shown, "web_searches") == ["web_searches", "10.000", "1,000"]
    assert "\nstandard\n" in shown
    assert "\nprocessing batch" in shown


def test_a_match_says_rule_list_and_every_rate(prices):
    shown = prices("match", "gemini-2.5-pro", "--provider", "google")
    assert shown.startswith(
        f"gemini-2.5-pro is priced as google:gemini-2.5-pro\nlist: {PRICE_VERSION}\nrule: "
    )
    assert "now · more than 200,000 input tokens" in shown
    assert "has no price: unknown_model" in prices("match", "house-model", "--provider", "openai")


def test_an_override_is_set_shown_and_removed(prices, project, writer):
    shown = prices(
        "set",
        "house-model",
        "--provider",
        "vllm",
        "--price",
        "input_tokens=0.2",
        "--price",
        "output_tokens=0.8",
        "--from",
        "2026-01-01",
        "--project",
        project,
        "--note",
        "own machines [red]",
        "--who",
        "ada",
    )
    number = re.match(r"[0-9a-f]{32}", shown).group()
    assert f"{number}  equals house-model (vllm, project {project})" in shown
    assert (
        "input_tokens 0.2 USD for 1,000,000, output_tokens 0.8 USD for 1,000,000 · from 2026-01-01 00:00"
        in shown
    )
    assert "by ada · own machines [red]" in shown
    [stored] = [each for each in list_overrides(writer) if each.project == project]
    assert (stored.id, stored.set_by) == (number, "ada")
    assert f"override: {number}" in prices("match", "house-model", "--provider", "vllm")
    assert number in prices("overrides")
    assert "removed" in prices("remove", number, "--who", "bob")
    assert number not in prices("overrides")
    assert re.search(r"removed \S+ \S+ by bob", prices("overrides", "--removed"))


def test_an_override_without_a_start_holds_for_ever(prices, project):
    shown = prices("set", "x", "--discount", "5", "--project", project)
    number = shown.split()[0]
    lines = prices("overrides").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(number))
    assert lines[at + 1] == "    5 % off the list"
    prices("remove", number)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "x"), "an override has one of prices, discount_percent and alias"),
        (("set", "x", "--price", "0.15"), "--price 0.15: UNIT=USD is needed"),
        (("set", "x", "--price", "tokens=1"), "there is no unit 'tokens'"),
        (("set", "x", "--discount", "5", "--from", "monday"), "--from monday: a day like 2026-01-31"),
        (("remove", "nothing"), "there is no override 'nothing'"),
        (("show", "openai", "house-model"), "No list has a model 'house-model'"),
        (("explain", "0" * 32, "0" * 15 + "1"), "No span"),
        (("explain", "x", "y"), "32 hexadecimal digits"),
        (("import", "/nowhere/list.json"), "/nowhere/list.json cannot be read"),
        (("list", "--limit", "0"), "--limit"),
        (("reprice", "--from", "2026-01-01"), "--why: say why"),
        (("reprice", "--from", "2026-02-01", "--to", "2026-01-01", "--dry-run"), "start must be before end"),
    ],
)
def test_what_is_wrong_is_one_line(prices, arguments, words):
    shown = prices(*arguments, code=2)
    assert shown.startswith("spanledger prices: ")
    assert words in shown
    assert len(shown.splitlines()) == 1


def test_a_server_that_is_not_there_is_one_line(capsys):
    assert main(["prices", "list", "--api", "http://127.0.0.1:9"]) == 2
    assert "is `spanledger serve` running?" in capsys.readouterr().err


def test_a_wrong_list_is_said_to_be_wrong(prices, tmp_path):
    file = tmp_path / "list.json"
    file.write_text(json.dumps([{"id": "acme", "models": [{"id": "a"}]}]))
    assert "provider 'acme', model 'a': match is missing" in prices("import", str(file), code=2)


def test_a_file_that_is_too_large_is_not_sent(prices, tmp_path):
    file = tmp_path / "list.json"
    with file.open("wb") as opened:
        opened.truncate((16 << 20) + 1)
    assert "is larger than 16 MiB" in prices("import", str(file), code=2)


@pytest.mark.usefixtures("own_lists")
def test_a_list_that_is_imported_says_what_was_taken(prices, tmp_path):
    file = tmp_path / "list.json"
    rates = {"litellm_provider": "acme", "input_cost_per_token": 1e-06, "cost_per_thing": 1}
    file.write_text(json.dumps({"acme/acme-2": rates}))
    shown = prices("import", str(file), "--source", "litellm")
    assert re.match(
        r"litellm file [0-9a-f]{12} is in use from now on: 1 model of 1 provider, 1 price\.\n", shown
    )
    assert "Not understood, and no price was taken from it (1):\n  cost_per_thing" in shown
    assert "is in use already" in prices("import", str(file), "--source", "litellm")
    assert row(prices("list", "acme-2"), "acme:acme/acme-2")[1] == "1"


def test_an_address_that_does_not_answer_names_the_way_out(serving, capsys):
    url = serving(prices_url="http://127.0.0.1:9/data.json")
    assert main(["prices", "update", "--api", url]) == 2
    assert "spanledger prices import FILE" in capsys.readouterr().err


def test_models_without_a_price_are_listed(prices, ingest):
    assert prices("unpriced") == "Every call has a known cost."
    ingest(request(*(llm_span(model="house-[red]-model") for _ in range(3))))
    shown = prices("unpriced", "--from", "2026-01-01")
    assert row(shown, "openai")[1:5] == ["house-[red]-model", "unknown_model", "3", "3,000→300"]


def test_a_cost_is_explained_as_a_bill_that_adds_up(prices, ingest):
    sent = llm_span(
        input_tokens=1200,
        output_tokens=80,
        gen_ai__usage__cache_read__input_tokens=1024,
        gen_ai__usage__cost__amount=0.0002,
    )
    ingest(request(sent))
    shown = prices("explain", sent.trace_id.hex(), sent.span_id.hex())
    assert "priced as openai:gpt-4o-mini\n" in shown
    assert row(shown, "input_tokens") == ["input_tokens", "1,200", "176", "0.150", "1,000,000", "0.0000264"]
    assert row(shown, "cache_read_tokens")[1:3] == ["1,024", "1,024"]
    amounts = [row(shown, unit)[-1] for unit in ("input_tokens", "output_tokens", "cache_read_tokens")]
    assert sum(map(Decimal, amounts)) == Decimal(row(shown, "total")[-1]) == Decimal("0.0001512")
    assert "stored:   $0.0001512, computed" in shown
    assert "reported: 0.0002 USD by the application (gen_ai.usage.cost.amount)" in shown
    assert "+0.0000488 USD beside what is computed" in shown
    assert "SPANLEDGER_COST_PREFERENCE=provider" in shown
    assert row(shown, "gen_ai.usage.cache_read.input_tokens")[1:] == ["1024", "1,024", "cache_read_tokens"]


def test_a_cost_that_is_not_known_says_why(prices, ingest):
    sent = llm_span(model="house-model")
    ingest(request(sent))
    shown = prices("explain", sent.trace_id.hex(), sent.span_id.hex())
    assert "no cost: unknown_model" in shown
    assert "stored:   not known (unknown_model)" in shown


BY_MODEL = [
    {
        "provider": "openai",
        "model": "gpt-4o",
        "spans": 3,
        "old_usd": Decimal("0.5"),
        "new_usd": Decimal("0.125"),
    },
    {"provider": "vllm", "model": "house-model", "spans": 1, "old_usd": None, "new_usd": Decimal("0.1")},
]


@pytest.fixture
def engine(monkeypatch):
    """An engine that would change four of ten calls; the plans that it was given."""
    plans = []

    def reprice(_client, plan, _preference):
        plans.append(plan)
        yield Progress("run-1", 5, 10, 2, Decimal("-0.1"), finished=False, by_model=[])
        changed = 0 if plan.model == "none" else 4
        yield Progress("run-1", 10, 10, changed, Decimal("-0.275"), finished=True, by_model=BY_MODEL)

    monkeypatch.setattr(routes, "reprice", reprice)
    return plans


REPRICE = ("reprice", "--from", "2026-01-01", "--to", "2026-02-01", "--why", "contract 7", "--who", "ada")


def test_a_dry_run_shows_what_would_change_and_writes_nothing(prices, engine):
    shown = prices(*REPRICE, "--dry-run")
    assert row(shown, "openai") == ["openai", "gpt-4o", "3", "0.5", "0.125", "-0.375"]
    assert row(shown, "vllm") == ["vllm", "house-model", "1", "0.0", "0.100", "+0.100"]
    assert "4 of 10 calls would change: -0.275 USD." in shown
    assert [plan.dry_run for plan in engine] == [True]


def test_with_yes_it_is_shown_and_written(prices, engine):
    shown = prices(*REPRICE, "--yes")
    assert "4 of 10 calls would change" in shown
    assert "4 costs changed: -0.275 USD. Run run-1." in shown
    assert [(plan.dry_run, plan.why, plan.who) for plan in engine] == [
        (True, "contract 7", "ada"),
        (False, "contract 7", "ada"),
    ]
    assert engine[0]._replace(dry_run=False) == engine[1]


@pytest.mark.parametrize(("said", "written"), [("y", True), ("", False), ("n", False)])
def test_it_asks_before_it_writes(prices, engine, monkeypatch, said, written):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or said)
    shown = prices(*REPRICE, code=0 if written else 1)
    assert asked == ["Write 4 changed costs? [y/N] "]
    assert ("Nothing was written." in shown) is not written
    assert [plan.dry_run for plan in engine] == ([True, False] if written else [True])


def test_where_nothing_would_change_nobody_is_asked(prices, engine):
    assert prices(*REPRICE, "--model", "none") == "10 calls: none would change."
    assert len(engine) == 1


def test_where_nobody_can_be_asked_nothing_is_written(serving, engine, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["prices", *REPRICE, "--api", serving()]) == 2
    assert "--yes writes without asking" in capsys.readouterr().err
    assert [plan.dry_run for plan in engine] == [True]


def test_who_hangs_up_ends_the_repricing(serving, monkeypatch):
    ended = threading.Event()

    def reprice(*_):
        try:
            for done in range(100_000):
                yield Progress("run-1", done, 100_000, 0, Decimal(0), finished=False, by_model=[])
                time.sleep(0.001)
        finally:
            ended.set()

    monkeypatch.setattr(routes, "reprice", reprice)
    asked = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z", "dry_run": True}
    lines = Api(serving()).lines("/api/v1/prices/reprice", asked)
    assert next(lines)["done_spans"] == 0
    lines.close()
    assert ended.wait(20)


def test_a_server_that_breaks_off_is_one_line(serving, monkeypatch, capsys):
    def reprice(*_):
        yield Progress("run-1", 5, 10, 0, Decimal(0), finished=False, by_model=[])
        raise Busy("the database went away")

    monkeypatch.setattr(routes, "reprice", reprice)
    assert main(["prices", *REPRICE, "--dry-run", "--api", serving()]) == 2
    assert capsys.readouterr().err == "spanledger prices: broken off: the database went away\n"
