"""The price list of the database, as the collector needs it to price spans.

The tables are the list (schemas/prices.py); here it is read once, and which entry of it a model is, is
asked of the database once for each model that is seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from clickhouse_connect.driver.client import Client

from spanledger.collector.rows.costs import NO_PRICE, Prices
from spanledger.schemas.prices import RATES, TIERS

_FRESH_S = 60.0  # how long another process's change of the list may go unseen
_MOST_KNOWN = 100_000
# Names go to a server in a field of a form, which ClickHouse takes up to 128 KiB (http_max_field_value_size).
_LONGEST, _AT_ONCE = 256, 100
_LARGEST = np.iinfo(np.int64).max
_UNIT = 10**18
_PERIODS = (
    "SELECT price_model, toUnixTimestamp(valid_from), toUnixTimestamp(valid_to), period, tier_starts "
    "FROM price_periods FINAL WHERE price_version = {version:String} ORDER BY price_model, valid_from"
)
_RATES = f"SELECT rate, {', '.join(RATES)} FROM price_rates FINAL WHERE price_version = {{version:String}}"  # noqa: S608
_MATCH = "SELECT arrayMap(name -> dictGet({dictionary:String}, 'price_model', name), {names:Array(String)})"


class PriceList:
    """Finds the entry of a model; not for two threads at once, as its client is not."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._dictionary = f"{database}.price_match"
        self._read_at = -_FRESH_S
        self.version = ""
        self.names: list[str] = []  # of the entries, by number
        self.prices: Prices
        self._numbers: dict[str, int] = {}
        self._entries: dict[str, int] = {}

    def entries(self, names: Iterable[str]) -> dict[str, int]:
        """The numbers of the entries that `provider/model` names have, -1 for one that has none.

        Raises what the client raises where the database does not answer.
        """
        if time.monotonic() - self._read_at > _FRESH_S:
            self._read()
        asked = set(names)
        if len(self._entries) + len(asked) > _MOST_KNOWN:  # names are what anybody sends
            self._entries.clear()
        unknown = asked - self._entries.keys()
        self._entries.update((name, -1) for name in unknown if len(name) > _LONGEST)
        asked_now = [name for name in unknown if len(name) <= _LONGEST]
        for first in range(0, len(asked_now), _AT_ONCE):
            some = asked_now[first : first + _AT_ONCE]
            [[found]] = self._client.query(
                _MATCH, parameters={"dictionary": self._dictionary, "names": some}
            ).result_rows
            for name, entry in zip(some, found, strict=True):
                self._entries[name] = self._numbers.get(entry, -1)
        return self._entries

    def _read(self) -> None:
        latest = self._client.query("SELECT argMax(price_version, loaded_at) FROM price_versions")
        version = str(latest.result_rows[0][0])
        if version != self.version or not self.names:
            self._entries = {}
            self._read_prices(version)
            self.version = version
        self._read_at = time.monotonic()

    def _read_prices(self, version: str) -> None:
        periods = self._client.query(_PERIODS, parameters={"version": version}).result_rows
        rates = self._client.query(_RATES, parameters={"version": version}).result_rows
        self.names = sorted({row[0] for row in periods})
        self._numbers = {name: n for n, name in enumerate(self.names)}
        first = np.searchsorted([row[0] for row in periods], [*self.names, "\U0010ffff"]) if periods else [0]
        tiers = np.full((len(periods), TIERS), _LARGEST, np.int64)
        for n, row in enumerate(periods):
            tiers[n, : len(row[4])] = row[4]
        by_number = np.full(
            ((max((row[0] for row in rates), default=0) // TIERS + 1) * TIERS, len(RATES)), NO_PRICE
        )
        for number, *amounts in rates:
            by_number[number] = [NO_PRICE if a is None else int(a * _UNIT) for a in amounts]
        self.prices = Prices(
            first=np.array(first, np.int64),
            begins=np.array([row[1] for row in periods], np.int64),
            ends=np.array([row[2] for row in periods], np.int64),
            tiers=tiers,
            numbers=np.array([row[3] for row in periods], np.int64),
            rates=by_number.astype(np.int64),
        )
