"""docs/sql.md: every query on it runs, every view of the schema is on it, and its limits are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spanledger.query_api.sql import clients, runs
from spanledger.query_api.sql.views import VIEWS

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_page_runs(ask, query):
    answer = ask(query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["columns"]


def test_the_page_has_ten_queries_and_every_view():
    assert len(QUERIES) == 10
    table = PAGE.partition("## Views")[2].partition("## Ten")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == [view.name for view in VIEWS]


def test_the_page_tells_the_real_limits():
    for words in (
        f"| time of a query | {clients.MOST_SECONDS} s |",
        f"| memory of a query | {clients.MOST_MEMORY_BYTES // clients.MIB} MiB;",
        f"| rows of a result without `limit` | {clients.MOST_ROWS:,} |",
        f"| size of a result | {clients.MOST_RESULT_BYTES // clients.MIB} MiB",
        f"{clients.MOST_WHOLE_BYTES // clients.MIB} MiB of `json_arrays`, `arrow` and `parquet`",
        f"| queries that run at once | {runs.AT_ONCE}, of one project 1 while others ask; ",
        f"; the next ones wait for {runs._PATIENCE_S:.0f} s |",
    ):
        assert words in PAGE, words
