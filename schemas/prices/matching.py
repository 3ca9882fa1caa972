"""Which model of a price list a call named: the rules of genai-prices, evaluated from the rows of the tables.

Ours on top of them: aliases of providers come before the clauses of a list (aliases.py), and a model of
Anthropic that Amazon is asked for without its vendor prefix is priced as Anthropic's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from spanledger.schemas.prices.aliases import PROVIDERS, price_provider
from spanledger.schemas.prices.clauses import Clause, Matches, alternatives, matcher, read_clause, told
from spanledger.schemas.prices.tables import LITELLM, Listed, ModelRow, ProviderRow

_COMPACT_DATE = re.compile(r"(?<=-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
# Where a provider has no such model, and neither have those that the list names for it.
_VENDORS = {"aws": ("anthropic", "claude")}


class Found(NamedTuple):
    """An entry of a list: who has it, its id, and by what it was found.

    `own`: it is the claimed provider's own entry, not one of a provider whose models it sells, whose variants
    of prices do not count here.
    """

    provider: str
    model: str
    rule: str
    own: bool


class _Models:
    """The models of a provider; the first that matches counts, as if they were tried one after the other."""

    def __init__(self, models: Iterable[ModelRow]) -> None:
        self._ids: list[str] = []
        self._equal: dict[str, int] = {}
        self._others: list[tuple[int, Matches, Clause]] = []
        for place, row in enumerate(models):
            self._ids.append(row.model)
            for clause in alternatives(read_clause(row.match)):
                if "equals" in clause:
                    self._equal.setdefault(clause["equals"].lower(), place)
                else:
                    self._others.append((place, matcher(clause), clause))

    def first(self, text: str) -> tuple[str, str] | None:
        """Id and rule of the first model that matches a text in lower case."""
        equal = self._equal.get(text)
        for place, matches, clause in self._others:
            if equal is not None and place > equal:
                break
            if matches(text):
                return self._ids[place], told(clause)
        return None if equal is None else (self._ids[equal], f"equals {text}")


class Finder:
    """Finds models in one list."""

    def __init__(self, listed: Listed, source: str) -> None:
        self._providers = listed.providers
        self._by_id = {row.provider: row for row in listed.providers}
        self._names = [
            (matcher(read_clause(row.provider_match)), row) for row in listed.providers if row.provider_match
        ]
        self._sold = [
            (matcher(read_clause(row.model_match)), row) for row in listed.providers if row.model_match
        ]
        self._addresses = [(re.compile(row.api_pattern), row) for row in listed.providers if row.api_pattern]
        by_provider: dict[str, list[ModelRow]] = {row.provider: [] for row in listed.providers}
        for row in listed.models:
            by_provider[row.provider].append(row)
        self._models = {provider: _Models(rows) for provider, rows in by_provider.items()}
        # LiteLLM's keys mean one model each, whoever is said to sell it.
        self._keys = {row.model.lower(): row for row in listed.models} if source == LITELLM else {}

    def provider(self, name: str) -> str | None:
        """The id that a provider's name means, or None."""
        row = self._named(name)
        return None if row is None else row.provider

    def find(self, provider: str, model: str, host: str = "") -> Found | str | None:
        """The entry of a model; where there is none the provider's id, or None where that is unknown, too.

        provider: as sent, '' for none; then the host (or address) says who it is, and else the model.
        """
        model = model.lower()
        provider = provider.lower().strip()
        if provider == "litellm" and "/" in model:
            first, rest = model.split("/", 1)
            if first and self._named(first):
                provider, model = first, rest
        row = self._named(provider) if provider else None
        if row is None and provider in ("", "litellm"):
            if not provider and not host and model in self._keys:
                key = self._keys[model]
                return Found(key.provider, key.model, f"equals {model}", own=True)
            row = self._addressed(host) if host else self._selling(model)
        if row is None:
            return None
        return self._find(row, model) or row.provider

    def _named(self, name: str) -> ProviderRow | None:
        if name in self._by_id:
            return self._by_id[name]
        alias = price_provider(name)
        if alias != name or name in PROVIDERS:
            return self._by_id.get(alias)
        return next((row for matches, row in self._names if matches(name)), None)

    def _addressed(self, host: str) -> ProviderRow | None:
        address = host if "://" in host else f"https://{host}"
        return next((row for pattern, row in self._addresses if pattern.match(address)), None)

    def _selling(self, model: str) -> ProviderRow | None:
        return next((row for matches, row in self._sold if matches(model)), None)

    def _find(self, row: ProviderRow, model: str) -> Found | None:
        found = self._match(row, model)
        if found is None and (dashed := _COMPACT_DATE.sub(_with_dashes, model)) != model:
            # LiteLLM and OpenRouter write dates without dashes.
            found = self._match(row, dashed)
        vendor, beginning = _VENDORS.get(row.provider, ("", ""))
        if found is None and vendor in self._by_id and model.startswith(beginning):
            own = self._find(self._by_id[vendor], model)
            return own and own._replace(own=False, rule=f"{row.provider} sells {vendor}: {own.rule}")
        return found

    def _match(self, row: ProviderRow, model: str) -> Found | None:
        if (first := self._models[row.provider].first(model)) is not None:
            return Found(row.provider, *first, own=True)
        for name in row.fallbacks:
            if name in self._models and (first := self._models[name].first(model)) is not None:
                found, rule = first
                return Found(name, found, f"{row.provider} sells {name}: {rule}", own=False)
        return None


def _with_dashes(compact: re.Match[str]) -> str:
    year, month, day = (int(part) for part in compact.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return compact[0]
