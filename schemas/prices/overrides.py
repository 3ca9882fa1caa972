"""Overrides: what somebody has set over the published lists, for one project or for all.

An override is for a model of a provider, for a time, and says one of three things: prices of its own; a
discount on what the list says; or an alias, by which such a name is priced as another model of the lists. Of
several for the same call those of its project come first, and of these the one that was set last. Where the
first has prices of its own, they count. Otherwise those with prices are left out: the first alias says which
model of the lists is meant, and the first discount is taken off its price.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.prices.aliases import price_provider
from spanledger.schemas.prices.clauses import KINDS, matcher
from spanledger.schemas.prices.genai import published_price, tier_start
from spanledger.schemas.prices.matching import Finder, Found
from spanledger.schemas.prices.plans import Plan, read_plan
from spanledger.schemas.prices.tables import ALWAYS, RateRow, in_utc, newest_lists, read_list
from spanledger.schemas.prices.units import NUMBERS, UNITS, Unit, coverage_fault

LONGEST_NAME = 256
_LONGEST_NOTE = 4_000
_LARGEST_PER = 10**9
_LATEST = datetime(2106, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Override(NamedTuple):
    """One override as it is stored.

    `prices` is a list as JSON text: of each unit `unit`, `price` (published, in USD) and, where they are not
    the usual ones, `per` (for so many units), `tiers` (of `start` and `price`) and `variant` (an object of
    texts).
    """

    id: str
    project: str
    provider: str
    match_kind: str
    match_value: str
    valid_from: datetime
    valid_to: datetime | None
    prices: str
    discount_percent: Decimal | None
    alias: str
    set_at: datetime
    set_by: str
    note: str
    removed: bool
    removed_at: datetime | None
    removed_by: str

    def matches(self, project: str, providers: Sequence[str], model: str) -> bool:
        """Whether it is for a call: the names that its provider has, and its model in lower case."""
        return (
            matcher({self.match_kind: self.match_value})(model)
            and self.project in ("", project)
            and (not self.provider or price_provider(self.provider.lower()) in providers)
        )

    def plan(self) -> Plan:
        """Its own prices as those of a model."""
        rows: dict[tuple[int, str], list[RateRow]] = {}
        order: dict[str, int] = {}
        for item in json.loads(self.prices or "[]", parse_float=Decimal):
            unit = UNITS[NUMBERS[item["unit"]]]
            variant = json.dumps(item["variant"], sort_keys=True) if item.get("variant") else ""
            condition = order.setdefault(variant, len(order))
            per = item.get("per", unit.per)
            tiers = [(0, item["price"]), *((tier["start"], tier["price"]) for tier in item.get("tiers", ()))]
            rows.setdefault((condition, variant), []).extend(
                RateRow("", "", variant, condition, ALWAYS, "", "", unit.name, start, Decimal(price), per, 0)
                for start, price in tiers
            )
        return read_plan(rows)


def add_override(
    client: Client,
    *,
    match_value: str,
    match_kind: str = "equals",
    project: str = "",
    provider: str = "",
    prices: Sequence[Mapping[str, Any]] = (),
    discount_percent: Decimal | str | int | None = None,
    alias: str = "",
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    set_by: str = "",
    note: str = "",
) -> Override:
    """Store an override, which holds for calls that began in its time; BadData names what is wrong.

    valid_from, valid_to: in whole seconds, with a time zone; from the first to just before the second.
    """
    override = Override(
        uuid4().hex,
        _name(project, "project"),
        _name(provider, "provider"),
        match_kind,
        match_value,
        _moment(valid_from, "valid_from") or EPOCH,
        _moment(valid_to, "valid_to"),
        _checked_prices(prices),
        _percent(discount_percent),
        alias,
        datetime.now(UTC),
        _name(set_by, "set_by"),
        note,
        removed=False,
        removed_at=None,
        removed_by="",
    )
    _check(override)
    if alias:
        _check_alias(client, alias)
    _insert(client, override)
    return override


def remove_override(client: Client, override_id: str, *, removed_by: str = "") -> Override:
    """Mark an override as removed: it is kept and holds no longer. NotFound where there is none."""
    for override in list_overrides(client):
        if override.id == override_id:
            removed = override._replace(
                removed=True, removed_at=datetime.now(UTC), removed_by=_name(removed_by, "removed_by")
            )
            _insert(client, removed)
            return removed
    raise NotFound(f"there is no override {override_id!r} that could be removed")


def list_overrides(client: Client, *, removed: bool = False) -> list[Override]:
    """All overrides, the one set last first; with those that were removed, if so asked."""
    condition = "" if removed else "WHERE NOT removed "
    rows = client.query(
        f"SELECT {', '.join(Override._fields)} FROM price_overrides FINAL {condition}ORDER BY set_at DESC, id"  # noqa: S608
    ).result_rows
    return [Override(*in_utc(row)) for row in rows]


def _insert(client: Client, override: Override) -> None:
    client.insert("price_overrides", [override], column_names=Override._fields)


def _check(override: Override) -> None:
    if override.match_kind not in KINDS:
        raise BadData(f"match_kind {override.match_kind!r}: allowed are {', '.join(KINDS)}")
    if not override.match_value or len(override.match_value) > LONGEST_NAME:
        raise BadData(f"match_value: a text of 1 to {LONGEST_NAME} characters is needed")
    if override.match_kind == "regex":
        try:
            re.compile(override.match_value)
        except re.error as error:
            raise BadData(f"match_value is not a regular expression ({error})") from None
    if override.valid_to is not None and override.valid_to <= override.valid_from:
        raise BadData("valid_to must be later than valid_from")
    said = [
        name
        for name, given in (
            ("prices", override.prices),
            ("discount_percent", override.discount_percent is not None),
            ("alias", override.alias),
        )
        if given
    ]
    if len(said) != 1:
        found = " and ".join(said) or "none of them"
        raise BadData(f"an override has one of prices, discount_percent and alias; this one has {found}")
    if override.alias and not all(split_alias(override.alias)):
        raise BadData(f"alias {override.alias!r}: provider:model is needed, such as openai:gpt-4o")
    _name(override.alias, "alias")
    if len(override.note) > _LONGEST_NOTE:
        raise BadData(f"note: at most {_LONGEST_NOTE} characters are allowed")


def _check_alias(client: Client, alias: str) -> None:
    for row in newest_lists(client):
        finder = Finder(read_list(client, row.price_version), row.source)
        if isinstance(finder.find(*split_alias(alias)), Found):
            return
    raise BadData(f"alias {alias!r}: no list that is loaded has such a model of such a provider")


def split_alias(alias: str) -> tuple[str, str]:
    """Provider and model of an alias."""
    provider, _, model = alias.partition(":")
    return provider.strip(), model.strip()


def _name(text: str, what: str) -> str:
    if len(text) > LONGEST_NAME:
        raise BadData(f"{what}: at most {LONGEST_NAME} characters are allowed")
    return text


def _moment(moment: datetime | None, what: str) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None or moment.microsecond:
        raise BadData(f"{what}: a time in whole seconds with a time zone is needed")
    if not EPOCH <= moment <= _LATEST:
        raise BadData(f"{what}: a time from {EPOCH:%Y-%m-%d} to {_LATEST:%Y-%m-%d} is needed")
    return moment.astimezone(UTC)


def _percent(percent: Decimal | str | int | None) -> Decimal | None:
    if percent is None:
        return None
    try:
        number = Decimal(percent)
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(percent, float | bool) or not number.is_finite() or not 0 < number <= 100:
        raise BadData("discount_percent: a decimal above 0 and up to 100 is needed")
    if number != number.quantize(Decimal("0.000001")):
        raise BadData("discount_percent: at most six digits after the point are allowed")
    return number


def _checked_prices(prices: Sequence[Mapping[str, Any]]) -> str:
    """The prices as they are stored; BadData names the one that is wrong."""
    plain = []
    by_variant: dict[str, set[str]] = {}
    for number, item in enumerate(prices):
        where = f"prices[{number}]"
        made = _checked_price(item, where)
        names = by_variant.setdefault(json.dumps(made.get("variant"), sort_keys=True), set())
        if made["unit"] in names:
            raise BadData(f"{where}: {made['unit']} has a price already")
        names.add(made["unit"])
        plain.append(made)
    standard = by_variant.get("null", set())
    for names in by_variant.values():
        fault = coverage_fault(frozenset(names | standard))
        if fault:
            raise BadData(f"prices: {fault}")
    return json.dumps(plain) if plain else ""


def _checked_price(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    unknown = item.keys() - {"unit", "price", "per", "tiers", "variant"}
    if unknown:
        raise BadData(
            f"{where}: there is no {', '.join(sorted(unknown))}; allowed are unit, price, per, tiers, variant"
        )
    if item.get("unit") not in NUMBERS:
        raise BadData(f"{where}: there is no unit {item.get('unit')!r}; allowed are {', '.join(NUMBERS)}")
    unit = UNITS[NUMBERS[item["unit"]]]
    per = item.get("per", unit.per)
    if not isinstance(per, int) or isinstance(per, bool) or not 1 <= per <= _LARGEST_PER:
        raise BadData(f"{where}: per is a whole number from 1 to {_LARGEST_PER}")
    unit = unit._replace(per=per)
    made: dict[str, Any] = {
        "unit": unit.name,
        "price": str(published_price(_no_float(item.get("price"), where), unit, f"{where}: price")),
        "per": per,
    }
    if item.get("tiers"):
        made["tiers"] = [_tier(tier, unit, f"{where}: tiers") for tier in item["tiers"]]
    variant = item.get("variant")
    if variant:
        if not isinstance(variant, Mapping) or not all(isinstance(each, str) for each in variant.values()):
            raise BadData(f"{where}: variant is an object of texts, such as {{'processing': 'batch'}}")
        made["variant"] = dict(variant)
    return made


def _tier(tier: Any, unit: Unit, where: str) -> dict[str, Any]:
    if not isinstance(tier, Mapping) or tier.keys() != {"start", "price"}:
        raise BadData(f"{where}: a tier is an object with start and price")
    price = published_price(_no_float(tier["price"], where), unit, f"{where}: price")
    return {"start": tier_start(tier["start"], f"{where}: start"), "price": str(price)}


def _no_float(price: Any, where: str) -> Any:
    if isinstance(price, float):
        raise BadData(f"{where}: a price is a decimal or its text, such as '0.15': a float is not exact")
    return price
