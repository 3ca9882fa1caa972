"""schemas.prices, book to compute: every model of genai-prices is found and costs what genai-prices says.

Its `ModelInfo.calc_price` is asked directly; ours goes the way of the collector: the rows that are in the
database, the entries of the book, the compiled function.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from genai_prices.data import providers
from genai_prices.data_snapshot import get_snapshot
from genai_prices.data_units import unit_data
from genai_prices.types import (
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
    Usage,
)

from spanledger.schemas.prices import PRICE_VERSION
from spanledger.schemas.prices.aliases import PROVIDERS
from spanledger.schemas.prices.book import Key, PriceBook
from spanledger.schemas.prices.compute import REASONS, UNKNOWN_MODEL, UNKNOWN_PROVIDER, compute, make_costs
from spanledger.schemas.prices.units import NUMBERS, UNITS

# Amounts are cut off at 10^-18 USD, once for each unit.
SLACK = Decimal("2e-17")
FEWEST = 20
DIMENSIONS = {name: frozenset(unit["dimensions"].items()) for name, unit in unit_data.items()}
USAGE_OF = {unit["price_key"]: name for name, unit in unit_data.items()}
MODELS = [(provider, model) for provider in providers for model in provider.models]
OWNER = {id(model): provider for provider, model in MODELS}
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


# Models are found


def spellings(model: ModelInfo) -> Iterator[str]:
    """The model's id, and texts around each of its match clauses."""
    yield model.id
    yield f"{model.id}-latest"
    yield f"{model.id}-20260230"
    yield f"{model.id}-20260228"
    yield f"x{model.id}"
    for clause in model.match.or_ if isinstance(model.match, ClauseOr) else [model.match]:
        match clause:
            case ClauseEquals(equals=text):
                yield from (text, text.upper(), f"{text}-2", text.replace("-20", "-20", 1))
            case ClauseStartsWith(starts_with=text):
                yield from (text, f"{text}-2025-01-01", f"a-{text}")
            case ClauseEndsWith(ends_with=text):
                yield from (text, f"a-{text}", f"{text}-b")
            case ClauseContains(contains=text):
                yield from (text, f"a-{text}-b")
            case ClauseRegex(regex=text):
                plain = text.strip("^$").replace("\\", "")
                yield from (plain, f"{plain}-1")


def found_by_genai(model: str, provider: str | None, url: str | None = None) -> str:
    """The entry that genai-prices finds; empty where there is none."""
    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, url)
    except LookupError:
        return ""
    return f"{OWNER[id(found)].id}:{found.id}"


def by_genai(provider: str | None, url: str | None) -> str:
    """The id that genai-prices knows a provider by."""
    try:
        return get_snapshot().find_provider(None, provider, url).id
    except LookupError:
        return ""


def found_by_book(book: PriceBook, keys: Sequence[Key]) -> list[str]:
    entries = book.entries(keys)
    return ["" if entries[key] < 0 else book.entry(entries[key]).name for key in keys]


def sold_without_prefix(provider: str, model: str, found: str) -> bool:
    """What only the book finds, on purpose: Claude of Amazon without its vendor prefix."""
    return provider == "aws" and found == found_by_genai(model, "anthropic") and model.startswith("claude")


def test_every_model_is_found_as_genai_prices_finds_it(book, tell):
    """Its id and texts around its match clauses, asked for by the provider's id."""
    asked = sorted({(provider.id, text) for provider, model in MODELS for text in spellings(model)})
    found = found_by_book(book, [Key("", provider, text) for provider, text in asked])
    wrong = []
    for (provider, text), got in zip(asked, found, strict=True):
        wanted = found_by_genai(text, provider)
        if wanted != got and not sold_without_prefix(provider, text, got):
            wrong.append((provider, text, wanted, got))
    assert wrong == []
    assert len(asked) > 10_000
    tell(f"prices: {len(asked):,} names of models are found as genai-prices finds them")


ODD_MODELS = (
    *("", " ", "/", "gpt-4o", "GPT-4o ", "openai/gpt-4o", "xai/grok-4", "/gpt-4o", "claude-sonnet-4-5"),
    *("us.anthropic.claude-sonnet-4-20250514-v1:0", "gemini/gemini-2.5-pro", "gpt-5.2-20251211"),
    *("gpt-5.2-20251311", "gpt-5.2-20251211:x", "o3", "o3-20250230-20250416", "no-such-model", "\x00", "é"),
    *("models/gemini-2.5-flash", "mistral-large-latest", "@cf/meta/llama-3", "İ", "ǅ", ".*", "(", "\\"),
    *("accounts/fireworks/models/llama-v3p1-8b-instruct", "deepseek-chat", "grok-4", "whisper-1", "x" * 256),
)
ODD_PROVIDERS = (
    *("openai", "OpenAI", " openai ", "openai-decisions", "azure", "azure-openai-x", "litellm", "LiteLLM"),
    *(
        "google-vertex",
        "vertexa",
        "amazon-nova",
        "my-bedrock",
        "huggingface/together",
        "x-ai",
        "meta",
        "mistralx",
    ),
    *("nobody", "\x00", "anthropic2", "cohere.v2", "zai", "together-ai", "é", "(", "moonshotai-cn"),
)
ADDRESSES = (
    *("https://api.openai.com/v1", "https://my.openai.azure.com/openai", "https://api.x.ai"),
    *(
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model",
        "https://nobody.example",
        "http://api.openai.com",
    ),
    *("https://router.huggingface.co/groq/v1", "https://generativelanguage.googleapis.com/v1beta"),
)


def test_odd_names_are_found_as_genai_prices_finds_them(book):
    """Of providers and models, with no provider, and with an address instead of one."""
    assert not {name.lower().strip() for name in ODD_PROVIDERS} & PROVIDERS.keys()
    asked = [(model, provider, None) for model in ODD_MODELS for provider in ODD_PROVIDERS]
    asked += [(model, None, url) for model in ODD_MODELS for url in (None, *ADDRESSES)]
    asked += [(model, "litellm", url) for model in ODD_MODELS for url in ADDRESSES]
    found = found_by_book(
        book, [Key("", provider or "", model, "", url or "") for model, provider, url in asked]
    )
    wrong = [
        (model, provider, url, got)
        for (model, provider, url), got in zip(asked, found, strict=True)
        if found_by_genai(model, provider, url) != got
        and not sold_without_prefix(by_genai(provider, url), model, got)
    ]
    assert wrong == []
    assert len({*found}) > 12


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "openai:gpt-4o"),
        ("my.openai.azure.com", "openai:gpt-4o"),
        ("my.openai.azure.com:443", "openai:gpt-4o"),
        ("localhost", ""),
    ],
)
def test_a_host_without_a_scheme_says_who_sells(book, host, name):
    assert found_by_book(book, [Key("", "", "gpt-4o", "", host)]) == [name]


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("x_ai", "grok-4.3", "x-ai:grok-4.3"),
        ("azure.ai.openai", "gpt-4o", "openai:gpt-4o"),
        ("gcp.vertex_ai", "claude-sonnet-4-5", "google:claude-sonnet-4-5"),
        ("AWS.Bedrock", "claude-sonnet-4-5", "anthropic:claude-sonnet-4-5"),
        ("aws.bedrock", "no-such-model", UNKNOWN_MODEL),
        ("openai", "claude-sonnet-4-5", UNKNOWN_MODEL),
        ("ibm.watsonx.ai", "gpt-4o", UNKNOWN_PROVIDER),
        ("nobody", "gpt-4o", UNKNOWN_PROVIDER),
        ("", "no-such-model", UNKNOWN_MODEL),
    ],
)
def test_a_provider_is_known_by_the_names_of_the_conventions_and_nothing_is_guessed(
    book, provider, model, name
):
    """A model that another provider has is not taken for that of the provider that was named."""
    key = Key("", provider, model)
    number = book.entries([key])[key]
    assert (number if number < 0 else book.entry(number).name) == name


# Costs


@dataclass
class Case:
    """A call of a model: what genai-prices is asked, and by which name the book finds the model."""

    provider: Provider
    model: ModelInfo
    name: str
    usage: dict[str, int]  # durations in microseconds
    at: datetime
    context: dict[str, str]

    def key(self) -> Key:
        variant = "+".join(f"{key}={value}" for key, value in self.context.items())
        return Key("", self.provider.id, self.name, variant)

    def expected(self) -> tuple[Decimal, Decimal, Decimal] | set[str]:
        """Total, input and output cost, or the reasons of which there must be one."""
        prices = self.model.get_prices(self.at, self.context)
        priced = {USAGE_OF[key] for key, value in vars(prices).items() if value is not None}
        if "requests" not in priced:
            if not self.usage:
                return {"no_usage"}
            if not any(DIMENSIONS[of] <= DIMENSIONS[unit] for of in priced for unit in self.usage):
                return {"unit_not_priced"}
        try:
            made = self.model.calc_price(
                Usage(**{unit: sent(unit, count) for unit, count in self.usage.items()}),
                self.provider,
                genai_request_timestamp=self.at,
                price_context=self.context,
            )
        except ValueError as error:
            return {"usage_incomplete"} if "Missing usage" in str(error) else {"impossible_usage"}
        return made.total_price, made.input_price, made.output_price


def sent(unit: str, count: int) -> int | Decimal:
    return Decimal(count) / 10**6 if unit.endswith("_seconds") else count


def conditions(model: ModelInfo) -> list[tuple[object, ModelPrice]]:
    listed = [(None, model.prices)] if isinstance(model.prices, ModelPrice) else []
    if not listed:
        listed = [(item.constraint, item.prices) for item in model.prices]
    return [*listed, *((item.constraint, item.prices) for item in model.price_variants or ())]


def moments(model: ModelInfo, chance: random.Random) -> list[datetime]:
    """Around every date and time of day at which something changes, and any others."""
    made = [NOW, datetime(2023, 1, 1, tzinfo=UTC)]
    for constraint, _ in conditions(model):
        if isinstance(constraint, StartDateConstraint):
            start = datetime.combine(constraint.start_date, datetime.min.time(), UTC)
            made += [start - timedelta(seconds=1), start, start + timedelta(days=1)]
        elif isinstance(constraint, TimeOfDateConstraint):
            for time_of_day in (constraint.start_time, constraint.end_time):
                for day in (datetime(2025, 5, 1, tzinfo=UTC), NOW):
                    at = datetime.combine(day.date(), time_of_day)
                    made += [at - timedelta(seconds=1), at, at + timedelta(seconds=1)]
    made += [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10**8)) for _ in range(3)]
    return sorted(set(made))


def starts(model: ModelInfo) -> list[int]:
    return sorted(
        {
            tier.start
            for _, prices in conditions(model)
            for value in vars(prices).values()
            if isinstance(value, TieredPrices)
            for tier in value.tiers
        }
    )


OF_INPUT = tuple(u.name for u in UNITS if u.family == "tokens" and u.direction == "input" and u.dimensions)
OF_OUTPUT = tuple(u.name for u in UNITS if u.family == "tokens" and u.direction == "output" and u.dimensions)
OTHERS = tuple(u.name for u in UNITS if u.family not in ("tokens", "requests"))


def usage(model: ModelInfo, total: int, chance: random.Random) -> dict[str, int]:
    """Counts that fit together for the most part: of the kinds that the model prices, and of others."""
    priced = {USAGE_OF[key] for _, prices in conditions(model) for key in vars(prices)}
    output = chance.choice([0, 1, 333, 10_007])
    made = {"input_tokens": total, "output_tokens": output}
    for kinds, whole in ((OF_INPUT, total), (OF_OUTPUT, output)):
        rest = whole
        for kind in chance.sample(kinds, len(kinds)):
            if chance.random() < (0.5 if kind in priced else 0.05):
                made[kind] = chance.randint(0, rest)
                rest -= made[kind] if chance.random() < 0.9 else 0
    if "cache_write_1h_tokens" in made and chance.random() < 0.9:
        made["cache_write_tokens"] = made["cache_write_1h_tokens"] + made.get("cache_write_tokens", 0)
    for both, (one, other) in {
        "cache_audio_read_tokens": ("cache_read_tokens", "input_audio_tokens"),
        "cache_image_read_tokens": ("cache_read_tokens", "input_image_tokens"),
    }.items():
        if one in made and other in made and chance.random() < 0.8:
            made[both] = min(made[one], made[other], chance.randint(0, total))
    for kind in OTHERS:
        if chance.random() < (0.6 if kind in priced else 0.05):
            made[kind] = chance.choice([0, 1, 7, 1_234]) * (1 if not kind.endswith("_seconds") else 2_345_678)
    if "input_audio_seconds" in made and chance.random() < 0.8:
        made["audio_seconds"] = made["input_audio_seconds"]
    for unsent in ("input_tokens", "output_tokens"):
        if chance.random() < 0.04:
            del made[unsent]
    return made


def cases(name: Callable[[Provider, ModelInfo], str], seed: int) -> Iterator[Case]:
    """Every variant at every moment with random usage, every tier, and at least FEWEST of each model."""
    chance = random.Random(seed)
    for provider, model in MODELS:
        called = name(provider, model)
        contexts = [{}, *({**item.when} for item in model.price_variants or ())]
        if len(contexts) > 2:
            contexts.append({key: value for context in contexts[1:] for key, value in context.items()})
        sizes = [0, 1, 17, 1_000, 123_457, 1_000_001]
        sizes += [start + more for start in starts(model) for more in (-1, 0, 1)]
        times = moments(model, chance)
        plan = [(at, context) for at in times for context in contexts for _ in range(2)]
        plan += [(at, contexts[0]) for at in times for _ in sizes]
        while len(plan) < FEWEST:
            plan.append((chance.choice(times), chance.choice(contexts)))
        for number, (at, context) in enumerate(plan):
            total = sizes[number % len(sizes)]
            yield Case(provider, model, called, usage(model, total, chance), at, context)
        yield Case(provider, model, called, {}, NOW, {})


def computed(book: PriceBook, sample: Sequence[Case]) -> list[tuple[Decimal, Decimal, Decimal] | str]:
    """Total, input and output cost of each case, or the reason why there is none."""
    keys = [case.key() for case in sample]
    found = book.entries(keys)
    entries = np.array([found[key] for key in keys], np.int64)
    counts = np.full((len(UNITS), len(sample)), -1, np.int64)
    for row, case in enumerate(sample):
        for unit, count in case.usage.items():
            counts[NUMBERS[unit], row] = count
    at = np.array([int(case.at.timestamp()) * 10**9 for case in sample], np.int64)
    costs = make_costs(len(sample))
    compute(counts, entries, at, book.prices, costs)
    amounts = [
        [Decimal(low | high << 64).scaleb(-18) for low, high in column.tolist()]
        for column in (costs.total, costs.input, costs.output)
    ]
    return [
        REASONS[reason] if rate < 0 else each
        for reason, rate, *each in zip(costs.reason.tolist(), costs.rate.tolist(), *amounts, strict=True)
    ]


@cache
def reachable(provider_id: str, model_id: str) -> str:
    """A text by which genai-prices finds a model of a provider; empty: another always comes before it."""
    provider, model = next((p, m) for p, m in MODELS if (p.id, m.id) == (provider_id, model_id))
    for text in spellings(model):
        try:
            found = get_snapshot().find_provider_model(text, None, provider.id, None)
        except LookupError:
            continue
        if found[1] is model:
            return text
    return ""


def differs(expected: tuple[Decimal, ...] | set[str], got: tuple[Decimal, ...] | str) -> bool:
    if isinstance(expected, set) or isinstance(got, str):
        return not (isinstance(expected, set) and got in expected)
    return any(abs(one - other) > SLACK for one, other in zip(expected, got, strict=True))


def test_every_model_costs_what_genai_prices_says(book, tell):
    """In total and of input and output, or unpriced by both, in every variant.

    Every model by every kind of token and unit, around the starts of tiers, dates and times of day.
    """
    sample = list(cases(lambda provider, model: reachable(provider.id, model.id), 20261121))
    assert all(case.name for case in sample)
    wrong = []
    unpriced = 0
    for case, got in zip(sample, computed(book, sample), strict=True):
        expected = case.expected()
        unpriced += isinstance(got, str)
        if differs(expected, got):
            wrong.append((case.provider.id, case.model.id, case.usage, case.at, case.context, expected, got))
    assert wrong == []
    fewest = min(Counter((case.provider.id, case.model.id) for case in sample).values())
    assert fewest >= FEWEST
    assert len(sample) >= len(MODELS) * FEWEST
    assert 0.02 * len(sample) < unpriced < 0.3 * len(sample)
    tell(
        f"prices: {len(sample):,} costs of all {len(MODELS):,} models of {PRICE_VERSION} are those of its "
        f"own calc_price, at least {fewest} of each; {unpriced:,} of them are unpriced in both"
    )
