"""What a call costs as it is stored: which of two costs counts, by whose prices, and why none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from ledger_rows import Sent
from otlp_requests import request, span

from spanledger.collector.rows.block import Blocks
from spanledger.collector.rows.tables import SPANS
from spanledger.schemas.prices.choice import PREFERENCES

from .conftest import LIMITS

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
COMPUTED = Decimal("0.00021")
USED = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")


@pytest.fixture
def costs(put_spans, reader, prices) -> Callable[..., Any]:
    """Columns of one span, stored under a preference."""

    def costs(
        attributes: Mapping[str, Any], *columns: str, preference: str = "provider", scope: str = "tests"
    ) -> Any:
        project = uuid4().hex
        blocks = Blocks(SPANS, LIMITS, prices._replace(preference=preference))
        put_spans([Sent(request(span(attributes=attributes), scope=scope), project, 1)], blocks=blocks)
        [row] = reader.query(
            f"SELECT {', '.join(columns)} FROM rows_of_tests.spans WHERE project = {{p:String}}",
            parameters={"p": project},
        ).result_rows
        return row[0] if len(columns) == 1 else row

    return costs


def without(*keys: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in CALL.items() if key not in keys} | more


BY_APPLICATION = {"gen_ai.usage.cost.amount": "1.5"}
BY_PROVIDER = BY_APPLICATION | {"gen_ai.usage.cost.source": "Provider"}
UNPRICED = CALL | {"gen_ai.request.model": "my-own-model"}


@pytest.mark.parametrize(
    ("preference", "sent", "source", "cost"),
    [
        ("provider", CALL, "computed", COMPUTED),
        ("provider", CALL | BY_APPLICATION, "computed", COMPUTED),
        ("provider", CALL | BY_PROVIDER, "reported", Decimal("1.5")),
        ("provider", UNPRICED | BY_APPLICATION, "reported", Decimal("1.5")),
        ("reported", CALL, "computed", COMPUTED),
        ("reported", CALL | BY_APPLICATION, "reported", Decimal("1.5")),
        ("reported", CALL | BY_PROVIDER, "reported", Decimal("1.5")),
        ("computed", CALL | BY_APPLICATION, "computed", COMPUTED),
        ("computed", CALL | BY_PROVIDER, "computed", COMPUTED),
        ("computed", UNPRICED | BY_PROVIDER, "reported", Decimal("1.5")),
        *((preference, UNPRICED, "", None) for preference in PREFERENCES),
    ],
)
def test_which_of_two_costs_counts_is_as_the_setting_says(costs, preference, sent, source, cost):
    found = costs(sent, "cost_source", "cost_usd", "cost_reason", preference=preference)
    assert found == (source, cost, "" if source else "unknown_model")


def test_both_costs_are_kept_with_who_worked_the_reported_one_out(costs):
    columns = ("cost_reported_usd", "cost_computed_usd", "cost_input_usd", "cost_output_usd", "cost_origin")
    parts = (Decimal("0.00015"), Decimal("0.00006"))
    assert costs(CALL | BY_PROVIDER, *columns) == (Decimal("1.5"), COMPUTED, *parts, "provider")
    assert costs(CALL, *columns) == (None, COMPUTED, *parts, "")
    # Of whom nobody hears where nothing was reported.
    assert costs(CALL | {"gen_ai.usage.cost.source": "provider"}, "cost_origin") == ""


def test_what_openrouter_reports_is_its_bill(costs):
    found = costs(CALL | BY_APPLICATION, "cost_source", "cost_origin", scope="openrouter")
    assert found == ("reported", "provider")


@pytest.mark.parametrize("preference", PREFERENCES)
def test_zero_counts_where_something_was_used_or_the_provider_says_it(costs, preference):
    """Libraries report zero for calls of which they know nothing."""
    nothing = {"gen_ai.usage.cost.amount": 0.0}
    of_provider = nothing | {"gen_ai.usage.cost.source": "provider"}
    unused = without(*USED)
    columns = ("cost_source", "cost_usd", "cost_reason")
    assert costs(unused | nothing, *columns, preference=preference) == ("", None, "no_usage")
    assert costs(unused | of_provider, *columns, preference=preference) == ("reported", Decimal(0), "")
    assert costs(UNPRICED | nothing, *columns, preference=preference) == ("reported", Decimal(0), "")


@pytest.mark.parametrize("currency", ["", "usd", "USD"])
def test_dollars_are_dollars_however_they_are_written(costs, currency):
    sent = CALL | BY_PROVIDER | {"gen_ai.usage.cost.currency": currency}
    assert costs(sent, "cost_reported_usd") == Decimal("1.5")


@pytest.mark.parametrize("preference", PREFERENCES)
def test_an_amount_in_another_currency_stays_an_attribute(costs, preference):
    sent = CALL | BY_PROVIDER | {"gen_ai.usage.cost.currency": "EUR"}
    columns = ("cost_source", "cost_usd", "cost_reported_usd", "cost_origin")
    assert costs(sent, *columns, preference=preference) == ("computed", COMPUTED, None, "")
    assert costs(sent, "attributes_string")["gen_ai.usage.cost.amount"] == "1.5"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("0.0000000000000000019", Decimal("0.000000000000000001")),
        ("1e-3", Decimal("0.001")),
        (".5", Decimal("0.5")),
        (0.1, Decimal("0.1")),
        (3, Decimal(3)),
        ("99999999999999999999.999999999999999999", Decimal("99999999999999999999.999999999999999999")),
        *((wrong, None) for wrong in ("1e20", "-1", "1,5", "$1", "nan", "1e999999999999999999999", "", " 1")),
        (float("inf"), None),
        (True, None),
    ],
)
def test_a_reported_amount_keeps_its_18_digits_and_what_is_none_is_not_there(costs, sent, stored):
    found = costs(CALL | {"gen_ai.usage.cost.amount": sent}, "cost_reported_usd")
    assert found == stored


# --- by whose prices


@pytest.mark.parametrize(
    ("model", "tier", "cost"),
    [
        ("gpt-4o-mini", "", "0.00021"),
        ("gpt-4o-mini", "default", "0.00021"),
        ("gpt-4o-mini", "auto", "0.00021"),
        ("gpt-4o-mini", "batch", "0.000105"),
        ("gpt-4o-mini", "priority", "0.00035"),
        ("o4-mini", "", "0.00154"),
        ("o4-mini", "flex", "0.00077"),
    ],
)
def test_the_tier_that_answered_has_its_price(costs, model, tier, cost):
    sent = CALL | {"gen_ai.request.model": model, "openai.response.service_tier": tier}
    assert costs(sent, "cost_usd") == Decimal(cost)


def test_the_price_is_that_of_the_model_that_answered_else_of_the_one_asked_for(costs):
    columns = ("cost_usd", "price_model")
    deployment = CALL | {"gen_ai.response.model": "my-deployment"}
    assert costs(deployment, *columns) == (COMPUTED, "openai:gpt-4o-mini")
    other = CALL | {"gen_ai.request.model": "my-alias", "gen_ai.response.model": "gpt-4o-mini"}
    assert costs(other, *columns) == (COMPUTED, "openai:gpt-4o-mini")
    neither = UNPRICED | {"gen_ai.response.model": "my-deployment"}
    assert costs(neither, *columns, "cost_reason") == (None, "", "unknown_model")


def test_the_provider_may_be_told_by_the_host_and_by_the_models_name(costs):
    columns = ("cost_usd", "provider", "price_model")
    unnamed = without("gen_ai.provider.name")
    assert costs(unnamed, *columns) == (COMPUTED, "openai", "openai:gpt-4o-mini")
    # Who is claimed has no such model: it is the host that bills.
    sold = CALL | {"gen_ai.request.model": "anthropic/claude-sonnet-4.5"}
    for provider in ({}, {"gen_ai.provider.name": ""}):
        by_host = sold | provider | {"url.full": "https://openrouter.ai/api/v1/chat/completions"}
        found = costs(by_host, "provider", "price_model")
        assert found == ("openrouter", "openrouter:anthropic/claude-sonnet-4.5")
    assert costs(sold, "provider", "cost_reason") == ("openai", "unknown_model")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (without(*USED), "no_usage"),
        (without("gen_ai.request.model"), "no_model"),
        (UNPRICED, "unknown_model"),
        (CALL | {"gen_ai.provider.name": "nobody", "gen_ai.request.model": "m"}, "unknown_provider"),
        (CALL | {"gen_ai.usage.input_tokens": 10**13}, "impossible_usage"),
        (CALL | {"gen_ai.usage.input_tokens": "many"}, "impossible_usage"),
        (without(*USED, **{"spanledger.usage.input_document_pages": 3}), "unit_not_priced"),
    ],
)
def test_a_cost_that_is_not_known_has_its_reason(costs, sent, reason):
    assert costs(sent, "cost_usd", "cost_source", "cost_reason") == (None, "", reason)


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", "invoke_workflow", "fetch_response"])
@pytest.mark.parametrize("preference", PREFERENCES)
def test_what_only_sums_up_calls_costs_nothing_and_keeps_what_it_says(costs, operation, preference):
    sent = CALL | BY_PROVIDER | {"gen_ai.operation.name": operation}
    columns = ("counted", "cost_usd", "cost_source", "cost_computed_usd", "cost_reason", "price_model")
    found = costs(sent, *columns, preference=preference)
    assert found == (False, None, "", None, "not_counted", "")
    assert costs(sent, "cost_reported_usd", "input_tokens") == (Decimal("1.5"), 1000)
    idle = {key: value for key, value in sent.items() if key not in USED}
    assert costs(idle, "cost_usd", "cost_reason") == (None, "")
