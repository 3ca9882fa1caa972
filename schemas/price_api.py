"""What the API answers about prices, field by field, and what it takes.

Money, prices and counts that may have a fraction are decimal strings; times are RFC 3339 UTC. `null` means
that there is none or that it is not known; it never stands for 0.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spanledger.schemas.api import Answer

_USD = "US dollars as a decimal string; null where it is not known."
_DAILY = "Time of day, UTC, as 16:30:00; null: all day."

PriceSource = Literal["genai-prices", "litellm"]


class UnitPrice(Answer):
    """A published price of one unit."""

    unit: str = Field(examples=["input_tokens"])
    price: str = Field(description="US dollars for `per` units.", examples=["0.15"])
    per: int = Field(description="So many units, of durations so many seconds.", examples=[1_000_000])
    tier_start: int = Field(description="For calls with more input tokens than this; 0: for all.")
    minimum: int = Field(description="Units that are billed at least where any are; 0: none.")


class ModelPrices(Answer):
    """A model of a list, with its standard prices that are in force now."""

    source: str
    price_version: str
    provider: str
    model: str
    name: str
    prices: list[UnitPrice]
    has_tiers: bool = Field(description="Prices depend on the number of input tokens.")
    has_dates: bool = Field(description="Other prices held, or will hold, at another date.")
    has_times_of_day: bool = Field(description="Prices depend on the time of day.")
    has_variants: bool = Field(description="There are other prices for batch, priority, ...")


class ModelPage(Answer):
    """Models of the lists in use: those of genai-prices first, by provider and model."""

    models: list[ModelPrices]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class PriceListState(Answer):
    """A price list that is stored."""

    price_version: str
    source: str
    loaded_at: str
    in_use: bool = Field(description="It is the one of its source that was loaded last.")
    providers: int
    models: int
    rates: int = Field(description="Published prices, each unit, tier, date and variant counted.")
    not_understood: list[str] = Field(description="Keys of the source that no price was taken from.")


class PriceLists(Answer):
    """Every list that was ever loaded, the newest first."""

    lists: list[PriceListState]


class PublishedCondition(Answer):
    """Prices of a model, and when and for what they hold."""

    variant: dict[str, str] | None = Field(description="What of the request selects it; null: standard.")
    valid_from: str | None = Field(description="The day from which it holds; null: always.")
    daily_from: str | None = Field(description=_DAILY)
    daily_to: str | None = Field(description=f"{_DAILY} Before `daily_from`: over midnight.")
    prices: list[UnitPrice] = Field(description="Empty: this condition has no price at all.")


class PublishedModel(Answer):
    """A model as a list publishes it. Of the standard conditions that hold the last counts."""

    source: str
    price_version: str
    provider: str
    model: str
    name: str
    match: str = Field(description="The names by which it is known.", examples=["equals gpt-4o"])
    conditions: list[PublishedCondition]


class PublishedModels(Answer):
    """What the lists in use publish of one model; the first has the price."""

    published: list[PublishedModel]


class OverridePrice(Answer):
    """A price that an override has."""

    unit: str
    price: str = Field(description="US dollars for `per` units.")
    per: int
    tiers: list[dict[str, Any]] = Field(description="`start` and `price` of each tier.")
    variant: dict[str, str] | None


class OverrideState(Answer):
    """An override as it is stored."""

    id: str
    project: str | None = Field(description="null: every project.")
    provider: str | None = Field(description="null: any.")
    match_kind: str
    match_value: str
    valid_from: str | None = Field(description="null: always.")
    valid_to: str | None = Field(description="No longer valid at this second; null: for ever.")
    prices: list[OverridePrice]
    discount_percent: str | None
    alias: str | None
    set_at: str
    set_by: str
    note: str
    removed_at: str | None
    removed_by: str | None


class Overrides(Answer):
    """Overrides, the one set last first."""

    overrides: list[OverrideState]


class NewOverride(BaseModel):
    """An override to set: exactly one of prices, discount_percent and alias."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    match_value: str = Field(
        description="The model's name, or what `match_kind` says of it.", examples=["gpt-4o"]
    )
    match_kind: str = Field("equals", description="equals, starts_with, ends_with, contains or regex.")
    project: str = Field("", description="For this project only; empty: for all.")
    provider: str = Field("", description="For this provider only; empty: for any.")
    prices: list[dict[str, Any]] = Field(
        [],
        description="Of each unit `unit` and `price` (US dollars, a decimal string) and, where they are not "
        "the usual ones, `per` (for so many), `tiers` (of `start` and `price`) and `variant` (an object of "
        "texts).",
        examples=[[{"unit": "input_tokens", "price": "0.15"}, {"unit": "output_tokens", "price": "0.6"}]],
    )
    discount_percent: str | None = Field(
        None, description="Off what the list says: a decimal string up to 100."
    )
    alias: str = Field("", description="provider:model by which such a model is priced.")
    valid_from: str | None = Field(None, description="An RFC 3339 time in whole seconds; null: always.")
    valid_to: str | None = Field(None, description="An RFC 3339 time in whole seconds; null: for ever.")
    set_by: str = ""
    note: str = ""


class PriceEntry(Answer):
    """What a call is priced by."""

    name: str = Field(description="provider:model of the list.", examples=["openai:gpt-4o"])
    source: str = Field(description="genai-prices, litellm, or override: prices that somebody set.")
    price_version: str | None = Field(description="The list; null for prices that somebody set.")
    rule: str = Field(description="The clause by which the name was found.", examples=["equals gpt-4o"])
    overrides: list[str] = Field(description="Ids of the overrides that were applied, in their order.")
    variant: str | None = Field(description="What of the request changed the price, as JSON; null: nothing.")


class RatePrice(UnitPrice):
    """A price in a row of rates."""

    discount_percent: str | None = Field(description="What an override takes off it.")
    words: str = Field(examples=["0.15 USD for 1,000,000 input_tokens"])


class RateRow(Answer):
    """Prices that hold together. `entry`: what they are of, which an override may change from a date on."""

    in_force: bool = Field(description="At the time that was asked for; of tiers, each may count.")
    entry: PriceEntry | None = Field(description="null: in this time there is no price, for this `reason`.")
    reason: str | None
    valid_from: str | None = Field(description="null: always.")
    valid_to: str | None = Field(description="null: for ever.")
    daily_from: str | None = Field(description=_DAILY)
    daily_to: str | None = Field(description=_DAILY)
    tier_start: int = Field(description="For calls with more input tokens than this.")
    prices: list[RatePrice]


class PriceMatch(Answer):
    """Which entry a call gets that names such a provider and model, and all that it may cost by it."""

    at: str
    entry: PriceEntry | None = Field(description="null: there is no price, for this `reason`.")
    reason: str | None = Field(examples=["unknown_model"])
    rates: list[RateRow]


class PricesTaken(Answer):
    """What became of a price list that was sent or fetched."""

    loaded: bool = Field(description="false: it is the list that is in use already.")
    list: PriceListState


class UnpricedModel(Answer):
    """Calls of unknown cost that name the same provider and model, for the same reason."""

    provider: str | None
    model: str | None = Field(description="The model that answered, else the one that was asked for.")
    reason: str
    calls: int
    input_tokens: int
    output_tokens: int
    first_seen: str
    last_seen: str


class Unpriced(Answer):
    """Models without a price, those with the most calls first, of equal ones the newest."""

    models: list[UnpricedModel]
    more: bool = Field(description="There are more than these.")


class CostLine(Answer):
    """One unit of a call: `amount_usd` is `billed` times `price` for `per`, less the discount."""

    unit: str
    direction: Literal["input", "output"] | None
    sent: str | None = Field(description="The count that was stored; durations in seconds.")
    billed: str | None = Field(
        description="What is left of it without the parts that have a price of their own."
    )
    price: str | None = Field(description="US dollars for `per` units; null: it has none of its own.")
    per: int | None
    tier_start: int | None
    discount_percent: str | None
    amount_usd: str | None = Field(description=_USD)


class CostSum(Answer):
    """What today's lists and overrides say that the call costs, unit by unit."""

    total_usd: str | None = Field(description=_USD)
    input_usd: str | None = Field(description=_USD)
    output_usd: str | None = Field(description=_USD)
    reason: str | None = Field(description="Why there is no cost.")
    model: str | None = Field(
        description="The name that was looked up: the model that answered, or was asked for."
    )
    entry: PriceEntry | None
    valid_from: str | None = Field(description="These prices hold from here; null: always.")
    valid_to: str | None = Field(description="null: for ever.")
    daily_from: str | None = Field(description=_DAILY)
    daily_to: str | None = Field(description=_DAILY)
    lines: list[CostLine]


class StoredCost(Answer):
    """The columns of cost as they are stored."""

    usd: str | None = Field(description=f"The cost that counts. {_USD}")
    source: str | None = Field(description="computed or reported: which of the two counts.")
    reason: str | None = Field(description="Why `usd` is null.")
    computed_usd: str | None
    computed_input_usd: str | None
    computed_output_usd: str | None
    reported_usd: str | None
    price_model: str | None
    price_version: str | None


class Reported(Answer):
    """A cost that came with the span."""

    usd: str | None = Field(description="Null where what was sent is no amount, or in another currency.")
    by: Literal["provider", "application"] = Field(description="Whose figure it is, as the span says.")
    attribute: str | None = Field(description="The attribute that it was read from.")
    value: Any = Field(description="The attribute as it was sent.")
    currency: str | None = Field(description="As sent; null: not said, which means dollars.")
    instrumentation: str = Field(description="Name of the scope that sent it.")


class CostChoice(Answer):
    """Which of the two costs counts."""

    preference: Literal["provider", "reported", "computed"] = Field(description="SPANLEDGER_COST_PREFERENCE.")
    counts: Literal["computed", "reported"] | None = Field(
        description="What is stored as the one that counts."
    )
    words: str
    difference_usd: str | None = Field(description="Reported less computed, where both are known.")


class SentCount(Answer):
    """A count as the span has it."""

    meaning: str = Field(description="The column or unit that it was read for.", examples=["input_tokens"])
    attribute: str = Field(examples=["gen_ai.usage.input_tokens"])
    value: Any


class CostUsage(Answer):
    """What the call used: as it was sent, and as it was counted."""

    sent: list[SentCount]
    counted: dict[str, int] = Field(
        description="By unit. Totals include their details; durations in microseconds."
    )
    flags: list[str] = Field(
        description="counted_apart, nothing_used, details_exceed_total, total_mismatch or unreadable."
    )


class SpanName(Answer):
    """A span of the ledger."""

    trace_id: str
    span_id: str


class CostChange(Answer):
    """A repricing that has changed the cost of the span."""

    run: str
    changed_at: str
    who: str
    why: str
    old_cost_usd: str | None
    new_cost_usd: str | None
    old_price_version: str | None
    new_price_version: str | None
    old_reason: str | None
    new_reason: str | None


class CostExplanation(Answer):
    """Where the cost of a span comes from."""

    trace_id: str
    span_id: str
    start_time: str
    role: str
    provider: str | None
    request_model: str | None
    response_model: str | None
    service_tier: str | None
    counted: bool = Field(description="Whether the cost counts in sums.")
    duplicate_of: SpanName | None = Field(description="The record of the same call that counts instead.")
    stored: StoredCost
    today: CostSum
    as_stored: bool = Field(description="Whether today's prices give the computed cost that is stored.")
    would_be_usd: str | None = Field(
        description="Where they do not: the computed cost that a repricing would store; null: none."
    )
    reported: Reported | None
    choice: CostChoice
    usage: CostUsage
    history: list[CostChange] = Field(description="Newest first.")


class NewReprice(BaseModel):
    """Which calls to price anew, by the lists and overrides of now."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    start: str = Field(description="Calls that began at this time or later (RFC 3339).")
    end: str = Field(description="Calls that began before this time (RFC 3339).")
    provider: str = Field("", description="Calls of this provider only.", max_length=1000)
    model: str = Field("", description="Calls that asked for, or got, this model only.", max_length=1000)
    unpriced_only: bool = Field(False, description="Calls without a known cost only.")
    reason: str = Field("", description="Why: kept with the run. Needed unless `dry_run`.", max_length=4000)
    who: str = Field("", description="Who asks for it: kept with the run.", max_length=256)
    dry_run: bool = Field(False, description="Only tell what would change.")


class RepriceProgress(Answer):
    """A line of the answer while prices are worked out anew; the last one has `finished` and `by_model`."""

    run: str
    done_spans: int
    total_spans: int
    changed_spans: int
    difference_usd: str = Field(description="New less old, of the calls that changed.")
    finished: bool
    by_model: list[dict[str, Any]] = Field(
        description="Of each provider and model: spans that changed, their cost before and after."
    )


class RepriceRun(Answer):
    """A repricing that was carried out."""

    run: str
    started_at: str
    finished_at: str | None = Field(description="null: it is under way, or was broken off.")
    who: str
    why: str
    since: str
    until: str
    condition: str
    changed_spans: int
    difference_usd: str


class RepriceRuns(Answer):
    """Repricings, newest first."""

    runs: list[RepriceRun]
