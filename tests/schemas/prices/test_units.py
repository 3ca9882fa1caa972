"""schemas.prices.units: the units are those of genai-prices, and all that its list prices."""

from __future__ import annotations

from itertools import combinations

import pytest
from genai_prices.data import providers
from genai_prices.data_units import unit_data
from genai_prices.units import UnitRegistry
from genai_prices.validation import validate_priced_units

from spanledger.schemas.prices.genai import installed, read_genai
from spanledger.schemas.prices.units import UNITS, coverage_fault

REGISTRY = UnitRegistry(unit_data)


def test_every_unit_is_that_of_genai_prices():
    for unit in UNITS:
        theirs = unit_data[unit.name]
        assert (unit.per, unit.price_key) == (theirs["per"], theirs["price_key"])
        assert unit.all_dimensions == frozenset(theirs["dimensions"].items())


def test_every_unit_that_the_installed_list_prices_is_counted():
    """A release of genai-prices that prices another one fails here, and is taken once UNITS has it."""
    known = {unit.price_key for unit in UNITS}
    priced = set()
    for provider in providers:
        for model in provider.models:
            listed = model.prices if isinstance(model.prices, list) else [model]
            for item in (*listed, *(model.price_variants or ())):
                priced |= {key for key, value in vars(item.prices).items() if value is not None}
    assert priced - known == set()
    assert {key for key in known if key not in priced} == {"cache_write_5m_mtok"}
    assert read_genai(installed()).not_understood == []


@pytest.mark.parametrize("size", [1, 2, 3])
def test_units_that_cannot_be_billed_together_are_those_that_genai_prices_refuses(size):
    for names in combinations([unit.name for unit in UNITS], size):
        try:
            validate_priced_units([REGISTRY.units[name] for name in names], REGISTRY)
            refused = False
        except ValueError:
            refused = True
        assert bool(coverage_fault(frozenset(names))) == refused, names
