"""The price list of genai-prices as rows: of the package that is installed, or of its data.json (v2).

Both go through the same reader. `UpdatePrices` of genai-prices fetches that file; so a newer list than the
installed one is a file away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from spanledger.schemas.errors import BadData
from spanledger.schemas.prices.clauses import check_clause, write_clause
from spanledger.schemas.prices.tables import ALWAYS, Listed, ModelRow, ProviderRow, RateRow
from spanledger.schemas.prices.units import BY_PRICE_KEY, Unit

# What genai-prices has in its code, not in its data: groq bills ten seconds at least.
_MINIMUM_SECONDS = {("groq", "whisper-large-v3"): 10, ("groq", "whisper-large-v3-turbo"): 10}

LAST_DIGIT = Decimal(1).scaleb(-18)
_LARGEST_START = 10**12
_LARGEST_RATE = Decimal(2**63 - 1).scaleb(-18)  # USD for one unit, as compute.py holds it


class Condition(NamedTuple):
    """When a price holds."""

    valid_from: date
    time_from: str
    time_to: str


def installed() -> Any:
    """The list of the installed genai-prices in the form of its data.json."""
    from genai_prices.data import providers

    return [_plain_provider(provider) for provider in providers]


def read_json(text: str | bytes) -> Any:
    """JSON with its numbers as they are written; BadData where it is none."""
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise BadData(f"the price list is not JSON: {error}") from None


def read_genai(data: Any) -> Listed:
    """The rows of a list. BadData names the first entry and key that are wrong."""
    if not isinstance(data, list):
        raise BadData("the price list is not a list of providers, as data.json (v2) of genai-prices is")
    reader = _Reader()
    for position, provider in enumerate(data):
        reader.provider(position, provider)
    ids = [provider.provider for provider in reader.listed.providers]
    for provider in reader.listed.providers:
        _unique(ids, provider.provider, "provider")
    return reader.listed


def published_price(price: Any, unit: Unit, where: str) -> Decimal:
    """A published price, rounded to 18 digits after the point; BadData where it is none that can be used."""
    if isinstance(price, str | int) and not isinstance(price, bool):
        try:
            price = Decimal(price)
        except InvalidOperation:
            price = None
    if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
        raise BadData(f"{where}: a price is a number that is not negative")
    if price / unit.per > _LARGEST_RATE:
        raise BadData(f"{where}: {price} USD for {unit.per} {unit.name} is more than 9.22 USD for one")
    return price.quantize(LAST_DIGIT)


def tier_start(start: Any, where: str) -> int:
    """Where a tier starts; BadData where it is no number of tokens."""
    if not isinstance(start, int) or isinstance(start, bool) or not 1 <= start <= _LARGEST_START:
        raise BadData(f"{where}: a tier starts at a whole number from 1 to {_LARGEST_START}")
    return start


class _Reader:
    def __init__(self) -> None:
        self.listed = Listed([], [], [], [])

    def provider(self, position: int, data: Any) -> None:
        where = f"provider {position}"
        name = _text(data, "id", where)
        where = f"provider {name!r}"
        api_pattern = _text(data, "api_pattern", where, "")
        try:
            re.compile(api_pattern)
        except re.error as error:
            raise BadData(f"{where}: api_pattern is not a regular expression ({error})") from None
        self.listed.providers.append(
            ProviderRow(
                position,
                name,
                _text(data, "name", where, name),
                api_pattern,
                _clause(data, "provider_match", where),
                _clause(data, "model_match", where),
                [
                    _is_text(each, f"{where}: fallback_model_providers")
                    for each in _list(data, "fallback_model_providers", where)
                ],
            )
        )
        models = _list(data, "models", where)
        for number, model in enumerate(models):
            self._model(name, number, model)
        ids = [model["id"] for model in models]
        for each in ids:
            _unique(ids, each, f"{where}: model")

    def _model(self, provider: str, position: int, data: Any) -> None:
        where = f"provider {provider!r}, model {position}"
        model = _text(data, "id", where)
        where = f"provider {provider!r}, model {model!r}"
        if data.get("match") is None:
            raise BadData(f"{where}: match is missing")
        row = ModelRow(
            provider, position, model, _text(data, "name", where, model), _clause(data, "match", where)
        )
        self.listed.models.append(row)
        prices = data.get("prices")
        if isinstance(prices, dict):
            prices = [{"prices": prices}]
        if not isinstance(prices, list) or not prices:
            raise BadData(f"{where}: prices is neither an object nor a list of conditional prices")
        for number, item in enumerate(prices):
            self._condition(row, f"{where}: prices[{number}]", item, "", number)
        for number, item in enumerate(_list(data, "price_variants", where)):
            place = f"{where}: price_variants[{number}]"
            when = item.get("when") if isinstance(item, dict) else None
            if (
                not isinstance(when, dict)
                or not when
                or not all(isinstance(each, str) for each in when.values())
            ):
                raise BadData(f"{place}: when is not an object of texts")
            self._condition(row, place, item, json.dumps(when, ensure_ascii=False, sort_keys=True), number)

    def _condition(self, model: ModelRow, where: str, item: Any, variant: str, number: int) -> None:
        if not isinstance(item, dict) or not isinstance(item.get("prices"), dict):
            raise BadData(f"{where}: prices is not an object of prices")
        condition = _condition(item.get("constraint"), f"{where}: constraint")
        minimum = _MINIMUM_SECONDS.get((model.provider, model.model), 0)
        found = [
            RateRow(
                model.provider,
                model.model,
                variant,
                number,
                *condition,
                unit.name,
                start,
                price,
                unit.per,
                minimum if unit.family == "durations" else 0,
            )
            for unit, start, price in self._prices(item["prices"], where)
        ]
        nothing = RateRow(model.provider, model.model, variant, number, *condition, "", 0, Decimal(0), 1, 0)
        self.listed.rates.extend(found or [nothing])

    def _prices(self, prices: dict[str, Any], where: str) -> Iterator[tuple[Unit, int, Decimal]]:
        for key, value in prices.items():
            if value is None:
                continue
            unit = BY_PRICE_KEY.get(key)
            if unit is None:
                # A newer list may price what is not counted here yet: what includes it pays for it.
                if key not in self.listed.not_understood:
                    self.listed.not_understood.append(key)
                continue
            place = f"{where}.{key}"
            if not isinstance(value, dict):
                yield unit, 0, published_price(value, unit, place)
                continue
            yield unit, 0, published_price(value.get("base"), unit, f"{place}.base")
            by_start = {}
            for tier in _list(value, "tiers", place):
                if not isinstance(tier, dict):
                    raise BadData(f"{place}.tiers: a tier is an object with start and price")
                start = tier_start(tier.get("start"), f"{place}.tiers: start")
                by_start[start] = published_price(tier.get("price"), unit, f"{place}.tiers: price")
            for start, price in sorted(by_start.items()):
                yield unit, start, price


def _condition(data: Any, where: str) -> Condition:
    if data is None:
        return Condition(ALWAYS, "", "")
    if isinstance(data, dict) and "start_date" in data:
        try:
            start = date.fromisoformat(_is_text(data["start_date"], where))
        except ValueError:
            start = None
        if start is None or not ALWAYS < start < date(2149, 1, 1):
            raise BadData(f"{where}: start_date is not a date from 1970-01-02 to 2148-12-31")
        return Condition(start, "", "")
    if isinstance(data, dict) and "start_time" in data and "end_time" in data:
        start_time, end_time = (_time(data[key], f"{where}: {key}") for key in ("start_time", "end_time"))
        return Condition(ALWAYS, start_time, end_time)
    raise BadData(f"{where}: allowed are start_date, or start_time and end_time")


def _time(text: Any, where: str) -> str:
    try:
        at = time.fromisoformat(_is_text(text, where))
    except ValueError:
        at = None
    if at is None or at.microsecond:
        raise BadData(f"{where} is not a time of day, such as 16:30:00Z, in whole seconds")
    if at.tzinfo is not None:
        at = datetime.combine(date(1970, 1, 2), at).astimezone(UTC).time()
    return f"{at:%H:%M:%S}"


def _text(data: Any, key: str, where: str, default: str | None = None) -> str:
    if not isinstance(data, dict):
        raise BadData(f"{where} is not an object")
    value = data.get(key)
    return default if value is None and default is not None else _is_text(value, f"{where}: {key}")


def _is_text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadData(f"{where} is not a text")
    return value


def _list(data: Any, key: str, where: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadData(f"{where}: {key} is not a list")
    return value


def _clause(data: Any, key: str, where: str) -> str:
    clause = data.get(key)
    return "" if clause is None else write_clause(check_clause(clause, f"{where}: {key}"))


def _unique(ids: list[str], name: str, what: str) -> None:
    if ids.count(name) > 1:
        raise BadData(f"{what} {name!r} is listed twice")


# The installed list holds objects of its package; here they become what data.json says of them.


def _plain_provider(provider: Any) -> dict[str, Any]:
    return {
        "id": provider.id,
        "name": provider.name,
        "api_pattern": provider.api_pattern,
        "provider_match": _plain_clause(provider.provider_match),
        "model_match": _plain_clause(provider.model_match),
        "fallback_model_providers": provider.fallback_model_providers,
        "models": [_plain_model(model) for model in provider.models],
    }


def _plain_model(model: Any) -> dict[str, Any]:
    prices = model.prices
    return {
        "id": model.id,
        "name": model.name,
        "match": _plain_clause(model.match),
        "prices": [_plain_condition(item) for item in prices]
        if isinstance(prices, list)
        else _plain_prices(prices),
        "price_variants": [
            {"when": item.when, **_plain_condition(item)} for item in model.price_variants or ()
        ],
    }


def _plain_condition(item: Any) -> dict[str, Any]:
    constraint = item.constraint
    plain = (
        None if constraint is None else {key: value.isoformat() for key, value in vars(constraint).items()}
    )
    return {"prices": _plain_prices(item.prices), "constraint": plain}


def _plain_prices(prices: Any) -> dict[str, Any]:
    return {key: _plain_price(value) for key, value in vars(prices).items()}


def _plain_price(price: Any) -> Any:
    if price is None or isinstance(price, Decimal):
        return price
    tiers = [{"start": tier.start, "price": tier.price} for tier in price.tiers]
    return {"base": price.base, "tiers": tiers}


def _plain_clause(clause: Any) -> Any:
    if clause is None:
        return None
    [(kind, value)] = vars(clause).items()
    plain = kind.removesuffix("_")
    return {plain: [_plain_clause(part) for part in value] if plain in ("and", "or") else value}
