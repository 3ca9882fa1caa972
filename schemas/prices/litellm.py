"""LiteLLM's list (model_prices_and_context_window.json) as rows: asked where genai-prices has no price.

It says one price for each model, without dates; its numbers are JSON floats, taken by their shortest text.
What stands between `cost` and the end of a key is the tier (`_above_200k_tokens`) or the variant
(`_batches`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from spanledger.schemas.errors import BadData
from spanledger.schemas.prices.aliases import price_provider
from spanledger.schemas.prices.clauses import write_clause
from spanledger.schemas.prices.genai import LAST_DIGIT, published_price
from spanledger.schemas.prices.tables import ALWAYS, Listed, ModelRow, ProviderRow, RateRow
from spanledger.schemas.prices.units import NUMBERS, UNITS, coverage_fault

# What a key is a price of, and of how many units.
_KEYS = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "cache_read_input_token_cost": "cache_read_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
    "input_cost_per_audio_token": "input_audio_tokens",
    "output_cost_per_audio_token": "output_audio_tokens",
    "cache_read_input_audio_token_cost": "cache_audio_read_tokens",
    "output_cost_per_reasoning_token": "output_reasoning_tokens",
    "input_cost_per_image_token": "input_image_tokens",
    "output_cost_per_image_token": "output_image_tokens",
    "cache_read_input_image_token_cost": "cache_image_read_tokens",
    "input_cost_per_character": "input_characters",
    "input_cost_per_request": "requests",
    "input_cost_per_second": "audio_seconds",
    "input_cost_per_audio_per_second": "audio_seconds",
    "ocr_cost_per_page": "input_document_pages",
    "annotation_cost_per_page": "input_annotated_document_pages",
}
_VARIANTS = {
    "batches": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
_TIER = re.compile(r"_above_(\d+)k_tokens")
_VARIANT = re.compile(r"_(batches|flex|priority)(?=$|_above_)")
_COST = re.compile(r"cost|price|pricing")
# What is both cached and of a modality, and that modality.
_CACHED = {"cache_audio_read_tokens": "input_audio_tokens", "cache_image_read_tokens": "input_image_tokens"}
# Where there is the first, the others are paid as what includes them: there is no unit for what is both.
_WITHOUT_OVERLAP = {
    "cache_write_tokens": ("input_audio_tokens", "input_image_tokens", *_CACHED),
    "output_reasoning_tokens": ("output_audio_tokens", "output_image_tokens"),
}
# Entries of other things than models, and the one that explains the keys.
_NOT_MODELS = ("sample_spec",)


def read_litellm(data: Any) -> Listed:
    """The rows of a list. BadData names the first entry and key that are wrong.

    Keys that speak of cost and are none of those above are in `not_understood`; so are, behind their model's
    name, prices that cannot be billed: a part without its whole, a tier without what is below it.
    """
    if not isinstance(data, dict):
        raise BadData("the price list is not an object of models, as LiteLLM's is")
    unknown: Counter[str] = Counter()
    providers: dict[str, list[str]] = {}
    models: list[ModelRow] = []
    rates: list[RateRow] = []
    for name, entry in data.items():
        if name in _NOT_MODELS:
            continue
        where = f"model {name!r}"
        if not isinstance(entry, dict):
            raise BadData(f"{where} is not an object")
        sold_by = entry.get("litellm_provider", "")
        if not isinstance(sold_by, str):
            raise BadData(f"{where}: litellm_provider is not a text")
        provider = price_provider(sold_by.lower())
        found = _rates(provider, name, entry, unknown)
        if not provider or not found:
            continue
        names = providers.setdefault(provider, [])
        names.append(name)
        models.append(ModelRow(provider, len(names) - 1, name, name, write_clause(_match(name, sold_by))))
        rates += found
    listed = [
        ProviderRow(position, provider, provider, "", "", "", [])
        for position, provider in enumerate(providers)
    ]
    return Listed(listed, models, rates, sorted(unknown))


def _match(name: str, provider: str) -> dict[str, Any]:
    """The entry's own key, with and without the provider before it: LiteLLM matches nothing else."""
    first, _, rest = name.partition("/")
    if rest and (
        first.lower() == provider.lower() or price_provider(first.lower()) == price_provider(provider)
    ):
        return {"or": [{"equals": name}, {"equals": rest}]}
    return {"equals": name}


def _rates(provider: str, model: str, entry: dict[str, Any], unknown: Counter[str]) -> list[RateRow]:
    rows: dict[tuple[str, str, int], RateRow] = {}
    for key, value in entry.items():
        if value is None or not _COST.search(key):
            continue
        plain, variant, start = _parts(key)
        unit = UNITS[NUMBERS[_KEYS[plain]]] if plain in _KEYS else None
        if unit is None or isinstance(value, dict | list):
            unknown[key] += 1
            continue
        where = f"model {model!r}: {key}"
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise BadData(f"{where}: a price is a number that is not negative")
        # Prices of one unit, published here as prices of as many as genai-prices publishes them for.
        amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        price = published_price(amount * unit.per, unit, where).quantize(LAST_DIGIT)
        text = json.dumps(variant, sort_keys=True) if variant else ""
        condition = [*_VARIANTS.values()].index(variant) if variant else 0
        rows[text, unit.name, start] = RateRow(
            provider, model, text, condition, ALWAYS, "", "", unit.name, start, price, unit.per, 0
        )
    return _usable(model, [*rows.values()], unknown)


def _parts(key: str) -> tuple[str, dict[str, str] | None, int]:
    """A key without what says its variant and its tier; and those."""
    variant, start = None, 0
    if (found := _VARIANT.search(key)) is not None:
        variant = _VARIANTS[found[1]]
        key = key[: found.start()] + key[found.end() :]
    if (found := _TIER.search(key)) is not None:
        start = int(found[1]) * 1_000
        key = key[: found.start()] + key[found.end() :]
    return key, variant, start


def _usable(model: str, rows: list[RateRow], unknown: Counter[str]) -> list[RateRow]:
    """Rows that can be billed together; none where a whole has no price and a part of it has.

    LiteLLM pays cached audio and images as cached tokens unless they have a price; so they get that one.
    """
    bases = {(row.variant, row.unit) for row in rows if not row.tier_start}
    for row in [row for row in rows if (row.variant, row.unit) not in bases]:
        unknown[f"{model}: {row.unit} has a tier and no price below it"] += 1
        rows.remove(row)
    units = {row.unit for row in rows}
    for both, modality in _CACHED.items():
        if {"cache_read_tokens", modality} <= units and both not in units:
            rows += [row._replace(unit=both) for row in rows if row.unit == "cache_read_tokens"]
    apart = {each for unit, others in _WITHOUT_OVERLAP.items() if unit in units for each in others}
    for row in [row for row in rows if row.unit in apart]:
        unknown[f"{model}: {row.unit} overlaps with what it has no common price with"] += 1
        rows.remove(row)
    standard = frozenset(row.unit for row in rows if not row.variant)
    for variant in {row.variant for row in rows}:
        priced = standard | {row.unit for row in rows if row.variant == variant}
        if fault := coverage_fault(priced):
            unknown[f"{model}: {fault}"] += 1
            return []
    return rows
