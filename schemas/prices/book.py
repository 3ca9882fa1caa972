"""The price book: lists and overrides of the database, and what they say of the models that calls name.

The tables are read when they have changed; which entry a model is, is worked out once for each name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from clickhouse_connect.driver.client import Client

from spanledger.schemas.prices.aliases import price_provider
from spanledger.schemas.prices.compute import MICROSECONDS, REST, UNKNOWN_MODEL, UNKNOWN_PROVIDER, Prices
from spanledger.schemas.prices.matching import Finder, Found
from spanledger.schemas.prices.overrides import EPOCH, LONGEST_NAME, Override, list_overrides, split_alias
from spanledger.schemas.prices.plans import (
    BEGIN,
    DAY_S,
    END,
    NO_PLAN,
    Period,
    Plan,
    Price,
    chosen,
    periods,
    read_plans,
)
from spanledger.schemas.prices.tables import ListRow, newest_lists, read_list
from spanledger.schemas.prices.units import PARTS, SPECIFIC_FIRST, UNITS, coverage_fault

_log = logging.getLogger("spanledger.prices")

_FRESH_S = 60.0  # how long another process's change may go unseen
_MOST_KNOWN = 100_000
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_SET = "override"


class Key(NamedTuple):
    """What a call says of its price, as it was sent; '' for what was not.

    `variant`: words such as batch, priority or flex, or key=value, joined by `+`. `host`: the address that
    was called, or the host of it: who sells, where no provider is named.
    """

    project: str
    provider: str
    model: str
    variant: str = ""
    host: str = ""


class Entry(NamedTuple):
    """What a key was resolved to. `name`: provider:model of the list; `override`: ids, in the order of use.

    `variant`: what of the request may change its prices, as JSON; at what time it does, the rate says.
    """

    name: str
    price_version: str
    source: str
    rule: str
    override: str
    variant: str

    @property
    def applied(self) -> str:
        """The list and the overrides that were applied, as a row tells what it was priced by."""
        overrides = f"override {self.override}" if self.override else ""
        return " + ".join(part for part in (self.price_version, overrides) if part)


class PricedUnit(NamedTuple):
    """The price of a unit in a row of rates: as published, and what is billed of it after a discount."""

    unit: str
    price: Decimal
    per: int
    tier_start: int
    minimum: int
    discount_percent: Decimal | None


class Rate(NamedTuple):
    """A row of rates in words: the entry at that time, when it holds, and its prices, most specific first."""

    entry: Entry
    period: Period
    tier_start: int
    prices: tuple[PricedUnit, ...]


class _List(NamedTuple):
    version: str
    source: str
    finder: Finder
    plans: Mapping[tuple[str, str], Plan]


class _Layer(NamedTuple):
    """What prices an entry from second `begins` up to `ends`: a plan with variants, or why there is none."""

    begins: int
    ends: int
    entry: Entry
    plan: Plan
    variants: tuple[int, ...]
    discount: Decimal | None
    missing: int


class PriceBook:
    """Finds entries and their prices; not for two threads at once, as its client is not.

    Numbers of entries and of rates, and `prices`, hold until the next call of `entries` or `refresh`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._read_at: float | None = None
        self._newest: list[ListRow] = []
        self._lists: list[_List] = []
        self._overrides: list[Override] = []
        self._own_plans: dict[str, Plan] = {}
        self._made: Prices | None = None
        self._clear()

    @property
    def prices(self) -> Prices:
        """The prices of all entries that were asked for, as compute takes them."""
        if self._made is None:
            self._made = self._arrays.prices()
        return self._made

    def entries(self, keys: Iterable[Key]) -> dict[Key, int]:
        """The numbers of the entries that keys have; UNKNOWN_MODEL or UNKNOWN_PROVIDER for one that has none.

        Raises what the client raises where the database does not answer.
        """
        if self._read_at is None or time.monotonic() - self._read_at > _FRESH_S:
            self.refresh()
        asked = set(keys)
        if len(self._known) + len(asked - self._known.keys()) > _MOST_KNOWN:  # names are what anybody sends
            self._clear()
        for key in asked:
            if key not in self._known:
                self._known[key] = self._number(key)
        return self._known

    def entry(self, number: int) -> Entry:
        """What an entry is."""
        return self._entries[number]

    def rate(self, number: int) -> Rate:
        """What a row of the rates is."""
        return self._arrays.described[number]

    def refresh(self) -> None:
        """Read lists and overrides again, if there are others than were read."""
        newest = newest_lists(self._client)
        overrides = [each for each in list_overrides(self._client) if _usable(each)]
        if newest != self._newest:
            self._lists = [self._read_list(row) for row in newest]
        if (newest, overrides) != (self._newest, self._overrides):
            self._newest, self._overrides = newest, overrides
            self._own_plans = {each.id: each.plan() for each in overrides}
            self._clear()
        self._read_at = time.monotonic()

    def _read_list(self, row: ListRow) -> _List:
        listed = read_list(self._client, row.price_version)
        return _List(row.price_version, row.source, Finder(listed, row.source), read_plans(listed.rates))

    def _clear(self) -> None:
        self._known: dict[Key, int] = {}
        self._numbers: dict[Any, int] = {}
        self._entries: list[Entry] = []
        self._arrays = _Arrays()
        self._made = None

    def _number(self, key: Key) -> int:
        if max(len(part) for part in key) > LONGEST_NAME:
            known = not key.provider or (
                len(key.provider) <= LONGEST_NAME
                and any(each.finder.provider(key.provider.lower().strip()) for each in self._lists)
            )
            return UNKNOWN_MODEL if known else UNKNOWN_PROVIDER
        layers = self._layers(key)
        if all(layer.missing for layer in layers):
            return layers[0].missing
        # Of equal layers all prices are equal: whatever else anybody sends makes no new entry.
        same = tuple((*layer[:3], id(layer.plan), *layer[4:]) for layer in layers)
        number = self._numbers.get(same)
        if number is None:
            number = self._numbers[same] = len(self._entries)
            self._entries.append(next(layer for layer in layers if not layer.missing).entry)
            for layer in layers:
                self._arrays.add(layer)
            self._arrays.close()
            self._made = None
        return number

    def _layers(self, key: Key) -> list[_Layer]:
        """What prices a key, by time, without a gap."""
        context = read_context(key.variant)
        model, names = key.model.lower(), self._names(key) if self._overrides else []
        # Those of the project first; each of both in the order in which they are listed.
        applying = sorted(
            (each for each in self._overrides if each.matches(key.project, names, model)),
            key=lambda each: not each.project,
        )
        applying = [each for each in applying if not each.prices or self._has_price(each, context)]
        bounds = sorted({BEGIN, END, *(bound for each in applying for bound in _bounds(each))})
        layers = []
        for begins, ends in pairwise(bounds):
            valid = [each for each in applying if _bounds(each)[0] <= begins < _bounds(each)[1]]
            layers.append(self._layer(key, context, valid)._replace(begins=begins, ends=ends))
        return layers

    def _names(self, key: Key) -> list[str]:
        """The names that the provider of a key has, as overrides may name it."""
        sent = key.provider.lower().strip()
        names = {sent, price_provider(sent)}
        for each in self._lists:
            if sent:
                names.add(each.finder.provider(sent) or "")
            else:
                found = each.finder.find("", key.model, key.host)
                # Who sells a model that is another's is not told by that one's name.
                names.add(found.provider if isinstance(found, Found) and found.own else "")
        return [name for name in names if name]

    def _has_price(self, override: Override, context: Mapping[str, str]) -> bool:
        """Whether prices of one's own say anything of such a request: they may be for a variant only."""
        plan = self._own_plans[override.id]
        return bool(plan.standard or chosen(plan, context))

    def _layer(self, key: Key, context: Mapping[str, str], overrides: Sequence[Override]) -> _Layer:
        alias: Override | None = None
        discount: Override | None = None
        for override in overrides:
            if override.prices and not alias and not discount:
                plan = self._own_plans[override.id]
                name = f"{price_provider(key.provider.lower())}:{key.model.lower()}"
                rule = f"{override.match_kind} {override.match_value}"
                return _layer(Entry(name, "", _SET, rule, override.id, ""), plan, chosen(plan, context), None)
            if override.alias:
                alias = alias or override
            elif override.discount_percent is not None:
                discount = discount or override
        used = " ".join(each.id for each in (alias, discount) if each)
        provider, model = split_alias(alias.alias) if alias else (key.provider, key.model)
        layer = self._listed(provider, model, "" if alias else key.host, context)
        rule = f"alias {alias.alias}: {layer.entry.rule}" if alias else layer.entry.rule
        return layer._replace(
            entry=layer.entry._replace(override=used, rule=rule),
            discount=discount.discount_percent if discount else None,
        )

    def _listed(self, provider: str, model: str, host: str, context: Mapping[str, str]) -> _Layer:
        """By the first list that has a price."""
        # Who names none, and no address, is asked for the model only.
        missing = UNKNOWN_PROVIDER if provider or host else UNKNOWN_MODEL
        for each in self._lists:
            found = each.finder.find(provider, model, host)
            if isinstance(found, Found):
                plan = each.plans.get((found.provider, found.model), NO_PLAN)
                name = f"{found.provider}:{found.model}"
                return _layer(
                    Entry(name, each.version, each.source, found.rule, "", ""),
                    plan,
                    chosen(plan, context) if found.own else (),
                    None,
                )
            if found is not None:
                missing = UNKNOWN_MODEL
        return _layer(Entry("", "", "", "", "", ""), NO_PLAN, (), None, missing)


def _usable(override: Override) -> bool:
    """Whether an override can be read: one that was put into the table by hand must not end all pricing."""
    try:
        override.plan()
        override.matches("", [], "")
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        _log.warning("override %s cannot be read and is left out: %.200r", override.id, error)
        return False
    return True


def read_context(variant: str) -> dict[str, str]:
    """What a variant's text says of a request, as genai-prices names it.

    batch is its processing; fast is a tier and a speed; key=value is itself; any other word is a service
    tier.
    """
    context: dict[str, str] = {}
    for word in variant.split("+"):
        key, equal, value = word.partition("=")
        if equal:
            context[key] = value
        elif word == "batch":
            context["processing"] = word
        elif word:
            context["service_tier"] = word
            if word == "fast":
                context["speed"] = word
    return context


def _layer(
    entry: Entry, plan: Plan, variants: tuple[int, ...], discount: Decimal | None, missing: int = 0
) -> _Layer:
    variant = " ".join(dict.fromkeys(plan.variants[number].variant for number in variants))
    return _Layer(BEGIN, END, entry._replace(variant=variant), plan, variants, discount, missing)


def _bounds(override: Override) -> tuple[int, int]:
    begins = BEGIN if override.valid_from == EPOCH else int(override.valid_from.timestamp())
    return begins, END if override.valid_to is None else int(override.valid_to.timestamp())


class _Arrays:
    """The arrays of Prices while they grow."""

    def __init__(self) -> None:
        self._lists: dict[str, list[int]] = {name: [] for name in Prices._fields}
        for name in ("first", "tier_first", "price_first", "part_first"):
            self._lists[name].append(0)
        self.described: list[Rate] = []
        self._made: Prices | None = None

    def prices(self) -> Prices:
        """What is new is put behind the arrays that were made before."""
        made = {}
        for name, values in self._lists.items():
            before = getattr(self._made, name) if self._made else np.empty(0, np.int64)
            made[name] = np.concatenate([before, np.array(values[len(before) :], np.int64)])
        self._made = Prices(**made)
        return self._made

    def close(self) -> None:
        """What was added since the last time is an entry."""
        self._lists["first"].append(len(self._lists["begins"]))

    def add(self, layer: _Layer) -> None:
        """The periods of a layer."""
        if layer.missing:
            self._add_period(Period(layer.begins, layer.ends, 0, DAY_S, {}, ""), layer.missing, [])
            return
        for period in periods(layer.plan, layer.variants):
            begins, ends = max(period.begins, layer.begins), min(period.ends, layer.ends)
            if begins < ends:
                self._add(layer, period._replace(begins=begins, ends=ends))

    def _add(self, layer: _Layer, period: Period) -> None:
        if coverage_fault(frozenset(UNITS[unit].name for unit in period.prices)):
            # genai-prices cannot bill by them, and neither can anybody.
            period = period._replace(prices={})
        starts = sorted({price.tier_start for tiers in period.prices.values() for price in tiers} - {0})
        self._add_period(period, len(self.described), starts)
        for start in (0, *starts):
            self._add_rate(layer, period, start)

    def _add_period(self, period: Period, rate: int, starts: list[int]) -> None:
        lists = self._lists
        lists["begins"].append(period.begins)
        lists["ends"].append(period.ends)
        lists["day_from"].append(period.day_from)
        lists["day_to"].append(period.day_to)
        lists["rates"].append(rate)
        lists["tiers"] += starts
        lists["tier_first"].append(len(lists["tiers"]))

    def _add_rate(self, layer: _Layer, period: Period, start: int) -> None:
        lists = self._lists
        described = []
        minimum = 0
        for unit in SPECIFIC_FIRST:
            if unit not in period.prices:
                continue
            price = [tier for tier in period.prices[unit] if tier.tier_start <= start][-1]
            lists["units"].append(unit)
            amount, rest = divmod(_amount(price, layer.discount), REST)
            lists["amounts"].append(amount)
            lists["rests"].append(rest)
            lists["parts"] += [part for part in PARTS[unit] if part in period.prices]
            lists["part_first"].append(len(lists["parts"]))
            minimum = max(minimum, price.minimum)
            described.append(
                PricedUnit(
                    UNITS[unit].name, price.price, price.per, price.tier_start, price.minimum, layer.discount
                )
            )
        lists["price_first"].append(len(lists["units"]))
        lists["minimum"].append(minimum * MICROSECONDS)
        entry = layer.entry._replace(variant=period.variant)
        self.described.append(Rate(entry, period, start, tuple(described)))


def _amount(price: Price, discount: Decimal | None) -> int:
    """The price of one unit in 10^-24 USD, to the nearest."""
    amount = _EXACT.divide(price.price, Decimal(price.per))
    if discount is not None:
        amount = _EXACT.multiply(amount, 1 - discount / 100)
    return int(amount.scaleb(24, _EXACT).to_integral_value(context=_EXACT))
