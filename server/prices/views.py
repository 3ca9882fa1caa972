"""How prices and costs look in a terminal; the input is the JSON of the API.

As in tree_view: what is meant is said in words or signs, and text from elsewhere is never a control code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spanledger.schemas.prices.units import TOKEN_UNITS
from spanledger.server.tree_view import plain

Answer = Mapping[str, Any]

_MILLION = 1_000_000
_COLUMNS = {"input_tokens": "in", "output_tokens": "out", "cache_read_tokens": "cached"}
_DEPENDS = {
    "has_tiers": "tokens",
    "has_dates": "date",
    "has_times_of_day": "time of day",
    "has_variants": "tier of service",
}
_MOST_KEYS = 20  # keys that are not understood, of which a list may have thousands


def models(found: Sequence[Answer], *, more: bool) -> RenderableType:
    """Models with their prices for a million tokens."""
    if not found:
        return Text("No models. `spanledger prices match MODEL` says what a call would be priced by.")
    table = _table("model", *(f">{title}" for title in (*_COLUMNS.values(), "others")), "depends on", "list")
    for model in found:
        base = [price for price in model["prices"] if price["tier_start"] == 0]
        by_unit = {price["unit"]: _short(price) for price in base}
        others = len(by_unit.keys() - _COLUMNS)
        depends = ", ".join(word for name, word in _DEPENDS.items() if model[name])
        _add(
            table,
            plain(f"{model['provider']}:{model['model']}"),
            *(by_unit.get(unit, "-") for unit in _COLUMNS),
            str(others or "-"),
            depends or "-",
            model["source"],
        )
    return Group(
        table,
        Text(f"{_many(len(found), 'model')}; USD for a million tokens. All of one: `spanledger prices show`"),
        *([Text("There are more: --limit, or more of the name.")] if more else []),
    )


def _short(price: Answer) -> str:
    text = str(price["price"])
    return text if price["per"] == _MILLION else f"{text} for {price['per']:,}"


def lists(found: Sequence[Answer]) -> RenderableType:
    """The price lists that are stored."""
    if not found:
        return Text("No price list is stored.")
    table = _table("list", "loaded (UTC)", ">models", ">prices", ">not understood", "in use")
    for row in found:
        _add(
            table,
            plain(row["price_version"]),
            _minute(row["loaded_at"]),
            f"{row['models']:,}",
            f"{row['rates']:,}",
            f"{len(row['not_understood']):,}",
            "yes" if row["in_use"] else "-",
        )
    return table


def taken(answer: Answer) -> RenderableType:
    """What became of a list that was loaded."""
    row = answer["list"]
    if not answer["loaded"]:
        return Text(f"{row['price_version']} is in use already: nothing was changed.")
    of = f"{_many(row['models'], 'model')} of {_many(row['providers'], 'provider')}"
    said = [f"{row['price_version']} is in use from now on: {of}, {_many(row['rates'], 'price')}."]
    keys = row["not_understood"]
    if keys:
        said.append(f"Not understood, and no price was taken from it ({len(keys):,}):")
        said += [f"  {plain(key)}" for key in keys[:_MOST_KEYS]]
        if len(keys) > _MOST_KEYS:
            said.append(f"  and {len(keys) - _MOST_KEYS:,} more (`spanledger prices list --lists`)")
    return Group(*map(Text, said))


def published(found: Sequence[Answer]) -> RenderableType:
    """Everything that the lists publish of a model."""
    parts: list[RenderableType] = []
    for model in found:
        parts.append(Text(plain(f"{model['provider']}:{model['model']}, {model['name']}"), "bold"))
        parts.append(Text(plain(f"list: {model['price_version']}")))
        parts.append(Text(plain(f"known by: {model['match']}")))
        for condition in model["conditions"]:
            parts.append(Text(f"\n{_when(condition)}", "bold"))
            parts.append(_prices(condition["prices"]) if condition["prices"] else Text("  no price at all"))
    return Group(*parts)


def _when(condition: Answer) -> str:
    """For what and when prices hold, in words."""
    variant = condition.get("variant")
    words = [", ".join(f"{key} {value}" for key, value in variant.items()) if variant else "standard"]
    return " · ".join([*words, *_time(condition)])


def _time(holds: Answer) -> Iterator[str]:
    if holds.get("valid_from"):
        yield f"from {_minute(holds['valid_from'])}"
    if holds.get("valid_to"):
        yield f"until {_minute(holds['valid_to'])}"
    if holds.get("daily_from"):
        yield f"daily from {holds['daily_from'][:5]} to {holds['daily_to'][:5]} UTC"


def _prices(prices: Sequence[Answer]) -> Table:
    table = _table("  unit", ">USD", ">for", "where")
    for price, amount in zip(prices, aligned([price["price"] for price in prices]), strict=True):
        where = [f"more than {price['tier_start']:,} input tokens"] if price["tier_start"] else []
        where += [f"at least {price['minimum']:,} billed"] if price["minimum"] else []
        where += [f"less {price['discount_percent']} %"] if price.get("discount_percent") else []
        _add(table, f"  {price['unit']}", amount, f"{price['per']:,}", ", ".join(where))
    return table


def match(answer: Answer, asked: str) -> RenderableType:
    """What a call is priced by, and every price that it may have."""
    entry = answer["entry"]
    if entry is None:
        lines = [Text(plain(f"{asked} has no price: {answer['reason']}"), "bold")]
    else:
        lines = [Text(plain(f"{asked} is priced as {entry['name']}"), "bold"), *map(Text, _entry(entry))]
    parts: list[RenderableType] = [*lines]
    for rate in answer["rates"]:
        tier = [f"more than {rate['tier_start']:,} input tokens"] if rate["tier_start"] else []
        words = " · ".join(["now" if rate["in_force"] else "at another time", *tier, *_time(rate)])
        parts.append(Text(f"\n{words}", "bold"))
        # The tier stands above all of them.
        prices = [price | {"tier_start": 0} for price in rate["prices"]]
        parts.append(_prices(prices) if prices else Text(f"  no price: {rate['reason']}"))
    return Group(*parts)


def _entry(entry: Answer) -> Iterator[str]:
    if entry["price_version"]:
        yield plain(f"list: {entry['price_version']}")
    yield plain(f"rule: {entry['rule']}")
    if entry["variant"]:
        yield plain(f"variant: {entry['variant']}")
    for override in entry["overrides"]:
        yield plain(f"override: {override}")


def overrides(found: Sequence[Answer]) -> RenderableType:
    """Overrides, two or three lines each."""
    if not found:
        return Text("No overrides.")
    return Group(*(part for override in found for part in _override(override)))


def _override(override: Answer) -> Iterator[Text]:
    where = [
        override["provider"] or "any provider",
        *([f"project {override['project']}"] if override["project"] else []),
    ]
    what = f"{override['match_kind']} {override['match_value']} ({', '.join(where)})"
    yield Text(plain(f"{override['id']}  {what}"), "bold")
    yield Text(plain(f"    {' · '.join([_says(override), *_time(override)])}"))
    by = f" by {override['set_by']}" if override["set_by"] else ""
    words = [f"set {_minute(override['set_at'])}{by}", *([override["note"]] if override["note"] else [])]
    if override["removed_at"]:
        by = f" by {override['removed_by']}" if override["removed_by"] else ""
        words.append(f"removed {_minute(override['removed_at'])}{by}")
    yield Text(plain(f"    {' · '.join(words)}"))


def _says(override: Answer) -> str:
    if override["discount_percent"]:
        return f"{override['discount_percent']} % off the list"
    if override["alias"]:
        return f"priced as {override['alias']}"
    return ", ".join(
        f"{price['unit']} {price['price']} USD for {price['per']:,}"
        + (f" ({', '.join(map(str, price['variant'].values()))})" if price["variant"] else "")
        + "".join(f", above {tier['start']:,} {tier['price']}" for tier in price["tiers"])
        for price in override["prices"]
    )


def unpriced(answer: Answer) -> RenderableType:
    """Models without a price."""
    found = answer["models"]
    if not found:
        return Text("Every call has a known cost.")
    table = _table("provider", "model", "why", ">calls", ">tokens", "first (UTC)", "last (UTC)")
    for row in found:
        _add(
            table,
            plain(row["provider"] or "-"),
            plain(row["model"] or "-"),
            row["reason"],
            f"{row['calls']:,}",
            f"{row['input_tokens']:,}→{row['output_tokens']:,}",
            _minute(row["first_seen"]),
            _minute(row["last_seen"]),
        )
    more = [Text("There are more: --limit.")] if answer["more"] else []
    return Group(table, *more)


def changes(result: Answer) -> RenderableType:
    """What a repricing would change, by model."""
    changed = result["changed_spans"]
    if not changed:
        return Text(f"{_many(result['total_spans'], 'call')}: none would change.")
    table = _table("provider", "model", ">calls", ">old USD", ">new USD", ">difference USD")
    rows = result["by_model"]
    old, new = ([row[name] or "0" for row in rows] for name in ("old_usd", "new_usd"))
    differences = [_signed(Decimal(after) - Decimal(before)) for before, after in zip(old, new, strict=True)]
    amounts = zip(aligned(old), aligned(new), aligned(differences), strict=True)
    for row, (before, after, difference) in zip(rows, amounts, strict=True):
        _add(
            table,
            plain(row["provider"] or "-"),
            plain(row["model"] or "-"),
            f"{row['spans']:,}",
            before,
            after,
            difference,
        )
    total = _signed(Decimal(result["difference_usd"]))
    return Group(
        table,
        Text(f"{changed:,} of {_many(result['total_spans'], 'call')} would change: {total} USD.", "bold"),
    )


def written(result: Answer) -> RenderableType:
    """What a repricing has changed."""
    total = _signed(Decimal(result["difference_usd"]))
    return Text(
        f"{_many(result['changed_spans'], 'cost')} changed: {total} USD. Run {result['run']}.", "bold"
    )


def bill(answer: Answer) -> RenderableType:
    """The cost of a span as a sum, and everything that it depends on."""
    today, stored, usage = answer["today"], answer["stored"], answer["usage"]
    parts: list[RenderableType] = [Text(f"cost of span {answer['span_id']}", "bold")]
    names = [answer["provider"], answer["response_model"] or answer["request_model"], answer["service_tier"]]
    parts.append(Text(plain(" · ".join([name for name in names if name] + [_minute(answer["start_time"])]))))
    if today["entry"]:
        parts.append(Text(plain(f"priced as {today['entry']['name']}")))
        parts += [Text(line) for line in _entry(today["entry"])]
        parts += [Text(" · ".join(_time(today)))] if any(_time(today)) else []
    if today["lines"]:
        parts += [Text(), _sum(today)]
    if today["reason"]:
        parts.append(Text(f"no cost: {today['reason']}"))
    parts += [Text(), *map(Text, _stored(answer, stored))]
    parts += [Text("\nusage as sent", "bold"), _sent(usage)]
    if usage["flags"]:
        parts.append(Text(f"  noted: {', '.join(usage['flags'])}"))
    if answer["history"]:
        parts += [Text("\nrepriced", "bold"), *map(Text, _history(answer["history"]))]
    return Group(*parts)


def _sum(today: Answer) -> Table:
    """Units times prices, and the total below."""
    table = _table("unit", ">sent", ">billed", ">USD", ">for", ">amount USD")
    lines = today["lines"]
    total = today["total_usd"]
    amounts = aligned([line["amount_usd"] for line in lines] + [total])
    prices = aligned([line["price"] for line in lines])
    for line, price, amount in zip(lines, prices, amounts, strict=False):
        if line["sent"] is None and line["billed"] in (None, "0"):
            continue
        unit = line["unit"]
        if line["price"] is None and total is not None:
            unit += " (in the others)"
        if line["tier_start"]:
            unit += f" (more than {line['tier_start']:,} in)"
        if line["discount_percent"]:
            unit += f" (less {line['discount_percent']} %)"
        per = f"{line['per']:,}" if line["per"] else ""
        _add(table, unit, _count(line["sent"]), _count(line["billed"]), price, per, amount)
    if total is not None:
        _add(table, "total", "", "", "", "", amounts[-1], style="bold")
    return table


def _stored(answer: Answer, stored: Answer) -> Iterator[str]:
    yield f"stored:   {_usd(stored['usd'], stored['reason'])}" + (
        f", {stored['source']}" if stored["source"] else ""
    )
    yield f"computed: {_usd(stored['computed_usd'], stored['reason'])}" + (
        f", by {plain(stored['price_version'])}" if stored["price_version"] else ""
    )
    if not answer["as_stored"]:
        would_be = _usd(answer["would_be_usd"], answer["today"]["reason"])
        yield f"today:    {would_be} by the prices of now (`spanledger prices reprice` would store it)"
    reported = answer["reported"]
    if reported:
        currency = "" if reported["currency"] in (None, "USD", "usd") else f" {plain(reported['currency'])}"
        by = f"by the {reported['by']} ({reported['attribute']})"
        yield plain(f"reported: {reported['usd']}{currency or ' USD'} {by}")
    choice = answer["choice"]
    if choice["difference_usd"]:
        yield f"          {_signed(Decimal(choice['difference_usd']))} USD beside what is computed"
    yield f"choice:   {plain(choice['words'])}"
    yield f"          SPANLEDGER_COST_PREFERENCE={choice['preference']}"
    if answer["duplicate_of"]:
        other = answer["duplicate_of"]
        yield f"counts:   span {other['span_id']} of trace {other['trace_id']} instead"


def _sent(usage: Answer) -> RenderableType:
    if not usage["sent"]:
        return Text("  none")
    table = _table("  attribute", ">as sent", ">as counted")
    counted = dict(usage["counted"])
    for each in usage["sent"]:
        unit = TOKEN_UNITS.get(each["meaning"], each["meaning"])
        number = counted.pop(unit, None)
        _add(
            table,
            plain(f"  {each['attribute']}"),
            plain(str(each["value"])),
            f"{number:,} {unit}" if number is not None else "",
        )
    for unit, number in counted.items():
        _add(table, "", "", f"{number:,} {unit}")
    return table


def _history(changed: Sequence[Answer]) -> Iterator[str]:
    for each in changed:
        old = _usd(each["old_cost_usd"], each["old_reason"])
        new = _usd(each["new_cost_usd"], each["new_reason"])
        by = f" by {each['who']}" if each["who"] else ""
        yield plain(f"  {_minute(each['changed_at'])}{by}: {old} → {new} ({each['why']}; run {each['run']})")


def aligned(amounts: Sequence[str | None]) -> list[str]:
    """Decimals with as many digits behind the point as the longest has; none stays empty."""
    digits = max((len(amount.partition(".")[2]) for amount in amounts if amount), default=0)
    return ["" if amount is None else _padded(amount, digits) for amount in amounts]


def _padded(amount: str, digits: int) -> str:
    whole, _, fraction = amount.partition(".")
    return f"{whole}.{fraction.ljust(digits, '0')}" if digits else whole


def _signed(amount: Decimal) -> str:
    return f"{amount:+f}"


def _usd(amount: str | None, reason: str | None) -> str:
    return f"${amount}" if amount is not None else f"not known ({reason or 'nothing to price'})"


def _count(text: str | None) -> str:
    return "" if text is None else f"{Decimal(text):,}"


def _minute(text: str) -> str:
    return text[:16].replace("T", " ")


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _add(table: Table, *cells: str, style: str = "") -> None:
    """A row of plain text: names come from elsewhere, and are no markup."""
    table.add_row(*map(Text, cells), style=style)


def _table(*titles: str) -> Table:
    """A table without lines; a title that begins with > is that of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title.removeprefix(">"), justify="right" if title.startswith(">") else "left")
    return table
