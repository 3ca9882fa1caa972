"""Prices: published lists and overrides of them as tables, and what a call costs by them, exactly.

units.py      what can be counted and priced
clauses.py    how names of models and providers are matched
tables.py     the rows of the price tables
genai.py      the list of genai-prices as rows
litellm.py    the list of LiteLLM as rows
lists.py      loads lists into the tables
overrides.py  what somebody has set over the lists
matching.py   which model of a list a call named
plans.py      what a model costs when: periods, tiers, variants
book.py       all of that for the models that calls name, as arrays
compute.py    what each call costs (compiled)
explain.py    why a call costs what it costs
"""

from spanledger.schemas.prices.lists import PRICE_VERSION, load_prices

__all__ = ["PRICE_VERSION", "load_prices"]
