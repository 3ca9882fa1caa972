"""Where the cost of a span comes from: every number of it, in the form in which it adds up."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from otlp_requests import llm_span, request, span

from spanledger.collector.duplicates.resolve import Resolver
from spanledger.collector.duplicates.watch import Watch
from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.store import Store
from spanledger.query_api.prices.reprice import Plan, reprice
from spanledger.schemas.database import connect
from spanledger.schemas.price_api import CostExplanation
from spanledger.schemas.prices import PRICE_VERSION
from spanledger.schemas.prices.overrides import add_override, remove_override
from spanledger.schemas.settings import Settings


@pytest.fixture
def cost(api, ingest):
    """Store a span and ask where its cost comes from."""

    def cost(sent, *others, asked=api, stored=False):
        if not stored:
            ingest(request(sent, *others))
        answer = asked.get(f"/api/v1/spans/{sent.trace_id.hex()}/{sent.span_id.hex()}/cost")
        assert answer.status_code == 200, answer.text
        CostExplanation.model_validate(answer.json())
        return answer.json()

    return cost


def test_a_cost_is_the_sum_of_units_times_prices(cost):
    found = cost(
        llm_span(
            input_tokens=1000,
            output_tokens=100,
            gen_ai__usage__cache_read__input_tokens=600,
            gen_ai__usage__reasoning__output_tokens=40,
            gen_ai__response__model="gpt-4o-mini-2024-07-18",
        )
    )
    today = found["today"]
    lines = {line["unit"]: line for line in today["lines"]}
    assert {
        unit: (line["sent"], line["billed"], line["price"], line["per"], line["amount_usd"])
        for unit, line in lines.items()
        if line["sent"]
    } == {
        "input_tokens": ("1000", "400", "0.15", 1_000_000, "0.00006"),
        "cache_read_tokens": ("600", "600", "0.075", 1_000_000, "0.000045"),
        "output_tokens": ("100", "100", "0.6", 1_000_000, "0.00006"),
        # It has no price of its own: it is paid as the output that it is part of.
        "output_reasoning_tokens": ("40", None, None, None, None),
    }
    amounts = [Decimal(line["amount_usd"]) for line in lines.values() if line["amount_usd"]]
    assert sum(amounts) == Decimal(today["total_usd"]) == Decimal("0.000165")
    assert (today["input_usd"], today["output_usd"]) == ("0.000105", "0.00006")
    assert today["model"] == "gpt-4o-mini-2024-07-18"
    assert (today["entry"]["name"], today["entry"]["price_version"]) == ("openai:gpt-4o-mini", PRICE_VERSION)
    assert today["entry"]["rule"]
    assert found["stored"]["computed_usd"] == found["stored"]["usd"] == "0.000165"
    assert (found["as_stored"], found["would_be_usd"]) == (True, None)
    assert (found["counted"], found["duplicate_of"], found["history"]) == (True, None, [])
    assert found["choice"] == {
        "preference": "provider",
        "counts": "computed",
        "words": "Only the computed cost is known.",
        "difference_usd": None,
    }


def test_usage_is_shown_as_sent_beside_as_counted(cost):
    """This sender counts cached tokens beside the input: the columns include them, the attributes do not."""
    found = cost(llm_span(input_tokens=10, gen_ai__usage__cache_read__input_tokens=600))
    usage = found["usage"]
    assert {each["meaning"]: (each["attribute"], each["value"]) for each in usage["sent"]} == {
        "input_tokens": ("gen_ai.usage.input_tokens", 10),
        "output_tokens": ("gen_ai.usage.output_tokens", 100),
        "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens", 600),
    }
    assert usage["counted"] == {"input_tokens": 610, "output_tokens": 100, "cache_read_tokens": 600}
    assert usage["flags"] == ["counted_apart"]


def test_counts_inside_a_usage_object_are_found_there(cost):
    found = cost(
        llm_span(
            input_tokens=None,
            output_tokens=None,
            gen_ai__usage__raw='{"prompt_tokens": 7, "completion_tokens": 3, '
            '"prompt_tokens_details": {"cached_tokens": 2}}',
        )
    )
    assert [(each["attribute"], each["value"]) for each in found["usage"]["sent"]] == [
        ("gen_ai.usage.raw#prompt_tokens", 7),
        ("gen_ai.usage.raw#completion_tokens", 3),
        ("gen_ai.usage.raw#prompt_tokens_details.cached_tokens", 2),
    ]
    assert found["usage"]["counted"] == {"input_tokens": 7, "output_tokens": 3, "cache_read_tokens": 2}


def test_a_count_that_cannot_be_read_makes_the_cost_unknown_today_as_it_did_then(cost):
    found = cost(llm_span(output_tokens="many"))
    assert found["stored"]["reason"] == found["today"]["reason"] == "impossible_usage"
    assert found["usage"]["flags"] == ["unreadable"]
    assert ("output_tokens", "many") in [(each["meaning"], each["value"]) for each in found["usage"]["sent"]]
    assert found["as_stored"] is True


@pytest.mark.parametrize(
    ("preference", "reported_by", "counts", "words"),
    [
        (
            "provider",
            None,
            "computed",
            "The computed cost comes before one that the provider has not billed.",
        ),
        ("provider", "provider", "reported", "The bill of the provider comes first."),
        ("reported", None, "reported", "The reported cost comes first."),
        ("computed", "provider", "computed", "The computed cost comes first."),
    ],
)
def test_of_two_costs_the_setting_says_which_counts(  # noqa: PLR0917
    target, project, make_api, preference, reported_by, counts, words
):
    more = {"gen_ai__usage__cost__source": reported_by} if reported_by else {}
    sent = llm_span(gen_ai__usage__cost__amount=0.5, **more)
    body = request(sent).SerializeToString()
    store = Store(target, Settings(cost_preference=preference))
    try:
        store.insert([Request(body, project, time.time_ns(), check(body, 32).spans, False)])
    finally:
        store.close()
    api = make_api(cost_preference=preference)
    found = api.get(f"/api/v1/spans/{sent.trace_id.hex()}/{sent.span_id.hex()}/cost").json()
    assert found["choice"] == {
        "preference": preference,
        "counts": counts,
        "words": words,
        "difference_usd": "0.49979",
    }
    reported = found["reported"]
    assert (reported["usd"], reported["by"]) == ("0.5", reported_by or "application")
    assert (reported["attribute"], reported["value"]) == ("gen_ai.usage.cost.amount", 0.5)
    assert reported["instrumentation"] == "tests"


def test_what_was_stored_under_another_setting_is_said_so(cost, make_api):
    sent = llm_span(gen_ai__usage__cost__amount="0.5")
    found = cost(sent, asked=make_api(cost_preference="reported"))
    assert found["stored"]["source"] == "computed"
    assert (
        found["choice"]["words"] == "Stored under another preference: by this one the cost would be reported."
    )


def test_another_currency_is_not_taken_for_dollars(cost):
    found = cost(llm_span(gen_ai__usage__cost__amount=0.5, gen_ai__usage__cost__currency="EUR"))
    assert (found["reported"]["currency"], found["stored"]["source"]) == ("EUR", "computed")


def test_where_the_book_says_something_else_today_it_is_said_what(api, project, cost):
    sent = llm_span()
    assert cost(sent)["as_stored"] is True
    body = {"project": project, "match_value": "gpt-4o-mini", "discount_percent": "50"}
    override = api.post("/api/v1/prices/overrides", json=body).json()
    found = api.get(f"/api/v1/spans/{sent.trace_id.hex()}/{sent.span_id.hex()}/cost").json()
    api.delete(f"/api/v1/prices/overrides/{override['id']}")
    assert (found["stored"]["usd"], found["would_be_usd"], found["as_stored"]) == (
        "0.00021",
        "0.000105",
        False,
    )
    assert found["today"]["entry"]["overrides"] == [override["id"]]
    assert {line["discount_percent"] for line in found["today"]["lines"]} == {"50"}


def test_a_name_that_no_list_has_is_priced_as_the_model_that_was_asked_for(cost):
    found = cost(llm_span(gen_ai__response__model="house-build-17"))
    assert found["today"]["model"] == "gpt-4o-mini"
    assert found["today"]["total_usd"] == found["stored"]["usd"] == "0.00021"
    assert found["as_stored"] is True


def test_a_call_without_a_cost_says_why(cost):
    found = cost(llm_span(model="house-model"))
    assert (found["today"]["total_usd"], found["today"]["reason"]) == (None, "unknown_model")
    assert (found["stored"]["usd"], found["stored"]["reason"]) == (None, "unknown_model")
    assert found["choice"]["words"] == "Neither is known: unknown_model."
    assert [line["sent"] for line in found["today"]["lines"]] == ["1000", "100"]


def test_a_span_that_is_no_call_does_not_count(cost):
    agent = span(attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 5})
    found = cost(agent)
    assert (found["counted"], found["today"]["reason"], found["stored"]["reason"]) == (
        False,
        "not_counted",
        "not_counted",
    )
    assert found["as_stored"] is True
    assert found["choice"]["words"].startswith("This span does not count: it is no call")


def test_a_second_record_of_a_call_names_the_one_that_counts(api, target, project):
    """Decided by the collector's own resolver: two libraries recorded one call, and one record counts."""
    inner = llm_span(gen_ai__response__id="resp-1")
    outer = llm_span(inner.trace_id, gen_ai__response__id="resp-1")
    inner.parent_span_id = outer.span_id
    outer.start_time_unix_nano = inner.start_time_unix_nano - 1000
    outer.end_time_unix_nano = inner.end_time_unix_nano + 1000
    watch = Watch()
    store, resolver = Store(target, Settings(), watch), Resolver(connect(target))
    try:
        for made, scope in ((inner, "opentelemetry.instrumentation.openai"), (outer, "litellm")):
            body = request(made, scope=scope).SerializeToString()
            store.insert([Request(body, project, time.time_ns(), check(body, 32).spans, False)])
        for place, seen in watch.take().items():
            resolver.resolve(place, seen)
    finally:
        resolver.close()
        store.close()

    def ask(sent):
        return api.get(f"/api/v1/spans/{sent.trace_id.hex()}/{sent.span_id.hex()}/cost").json()

    counting, other = sorted((ask(inner), ask(outer)), key=lambda found: not found["counted"])
    assert (counting["counted"], other["counted"]) == (True, False)
    assert other["duplicate_of"] == {name: counting[name] for name in ("trace_id", "span_id")}
    assert (other["stored"]["usd"], other["stored"]["reason"]) == (None, "duplicate")
    assert other["stored"]["computed_usd"] == other["today"]["total_usd"]
    assert other["choice"]["words"] == "This span does not count: another one records the same call."


def test_repricings_of_the_span_are_its_history(writer, project, cost):
    """Newest first: what the cost was and is, by which lists, and who asked for it and why."""
    sent = llm_span()
    before = cost(sent)
    overrides = []
    for price, who, why in (("10", "ada", "contract 7"), ("20", "bob", "contract 8")):
        prices = [{"unit": "input_tokens", "price": price}]
        overrides.append(add_override(writer, project=project, match_value="gpt-4o-mini", prices=prices))
        plan = Plan(0, 1 << 62, who=who, why=why, project=project)
        *_, _last = reprice(writer, plan, "provider")
    found = cost(sent, stored=True)
    for override in overrides:
        remove_override(writer, override.id)
    second, first = found["history"]
    assert (first["who"], first["why"]) == ("ada", "contract 7")
    assert (second["who"], second["why"]) == ("bob", "contract 8")
    assert (first["old_cost_usd"], first["new_cost_usd"]) == (before["stored"]["usd"], "0.01")
    assert (second["old_cost_usd"], second["new_cost_usd"]) == ("0.01", "0.02")
    assert first["old_price_version"] == before["stored"]["price_version"]
    assert first["new_price_version"] == second["old_price_version"] == f"override {overrides[0].id}"
    assert second["run"] != first["run"]


@pytest.mark.parametrize(
    ("ids", "status", "words"),
    [
        (("0" * 32, "0" * 15 + "1"), 404, "No span"),
        (("x" * 32, "0" * 16), 400, "32 hexadecimal digits"),
        (("0" * 32, "1"), 400, "16 hexadecimal digits"),
    ],
)
def test_a_span_that_is_not_there_is_said_so(idle_api, ids, status, words):
    answer = idle_api.get("/api/v1/spans/{}/{}/cost".format(*ids))
    assert answer.status_code == status
    assert words in answer.json()["detail"]
