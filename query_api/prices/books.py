"""A price book and the lists in use, kept between requests: reading them takes longer than using them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from clickhouse_connect.driver.client import Client

from spanledger.query_api.readers import Readers
from spanledger.schemas.database import Target
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.prices.tables import Listed, ListRow, newest_lists, read_list

T = TypeVar("T")


class InUse(NamedTuple):
    """A list that calls are priced by."""

    row: ListRow
    listed: Listed


class Books:
    """Runs what needs the book or the lists, one at a time, on a client that cannot write."""

    def __init__(self, target: Target) -> None:
        self._readers = Readers(target, size=1)
        self._client: Client | None = None
        self._book: PriceBook | None = None
        self._lists: dict[str, InUse] = {}

    async def with_book(self, work: Callable[[PriceBook, Client], T]) -> T:
        """What `work` returns. The book knows what was set before the call. Busy as Readers.run."""

        def on(client: Client) -> T:
            if self._book is None or self._client is not client:
                self._client, self._book = client, PriceBook(client)
            self._book.refresh()
            return work(self._book, client)

        return await self._readers.run(on)

    async def with_lists(self, work: Callable[[list[InUse]], T]) -> T:
        """What `work` returns, given the newest list of each source, in the order in which they are asked."""

        def on(client: Client) -> T:
            newest = newest_lists(client)
            known = self._lists
            # The same version may have been loaded again from a file that was mended: then it is read again.
            self._lists = {
                row.price_version: known[row.price_version]
                if row.price_version in known and known[row.price_version].row == row
                else InUse(row, read_list(client, row.price_version))
                for row in newest
            }
            return work(list(self._lists.values()))

        return await self._readers.run(on)

    def close(self) -> None:
        self._readers.close()
