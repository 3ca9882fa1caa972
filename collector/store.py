"""Writes requests into ClickHouse: makes one block of them and inserts it, all or nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.collector.duplicates.watch import Watch
from spanledger.collector.rows.block import Block, Blocks, Limits, Request
from spanledger.collector.rows.money import Pricing
from spanledger.collector.rows.tables import TABLES
from spanledger.schemas.database import Target, connect
from spanledger.schemas.errors import BadData, Busy
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.removals import Removals, nothing_removed
from spanledger.schemas.rewriting import INSERT_SETTINGS
from spanledger.schemas.settings import Settings

_log = logging.getLogger("spanledger.collector")

# ClickHouse error codes that say something about the data, not about the server.
_DATA_ERRORS = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        36,  # BAD_ARGUMENTS
        69,  # ARGUMENT_OUT_OF_BOUND
        117,  # INCORRECT_DATA
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        407,  # DECIMAL_OVERFLOW
    }
)


def limits_of(settings: Settings) -> Limits:
    """What is cut or left out of requests."""
    return Limits(
        settings.max_attribute_value_bytes,
        settings.max_attributes,
        settings.max_attribute_key_length,
        settings.max_attribute_depth,
    )


class Store:
    """Inserts requests through a client of its own; not for two threads at once.

    `watch` hears of the calls that are committed; `removals` knows what must not be stored.
    """

    def __init__(
        self,
        target: Target,
        settings: Settings,
        watch: Watch | None = None,
        removals: Removals | None = None,
    ) -> None:
        self._watch = watch
        self._removals = removals
        timeout_s = settings.store_timeout_s
        self._client = connect(target.with_timeouts(connect_s=timeout_s, answer_s=timeout_s))
        limits = limits_of(settings)
        pricing = Pricing(PriceBook(self._client), settings.cost_preference)
        self._blocks = {name: Blocks(table, limits, pricing) for name, table in TABLES.items()}

    def insert(self, requests: Sequence[Request]) -> Block:
        """Commit all requests, which are for one table, or none; without what must not be stored.

        BadData: some of their bytes; Busy: the database.
        """
        table = requests[0].table
        try:
            # As late as possible: what is deleted from here on finds these rows.
            removed = nothing_removed() if self._removals is None else self._removals.now()
            block = self._blocks[table].make(requests, removed)
            if not block.rows:
                return block
            if block.times:
                # First, so that whatever happens in between no stored span lies outside its trace's times.
                self._insert("trace_times", block.times)
            # Both of its backends take any buffer, though it says bytes only.
            self._insert(table, cast("bytes", block.data))
        except ClickHouseError as error:
            # Its text names files, addresses and statements: for the log, not for whoever sent the data.
            _log.warning("an insert failed: %.500s", error)
            if getattr(error, "code", None) in _DATA_ERRORS:
                raise BadData(
                    f"ClickHouse cannot read this request ({getattr(error, 'name', None)})"
                ) from error
            raise Busy("the database does not take the insert") from error
        if self._watch is not None:
            self._watch.saw(block.calls)
        return block

    def _insert(self, table: str, data: bytes) -> None:
        self._client.raw_insert(table, insert_block=data, settings=INSERT_SETTINGS, fmt="Native")

    def close(self) -> None:
        self._client.close()
