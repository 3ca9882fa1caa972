"""Processes that own a ledger, for tests that kill one: FOLDER make|reprice|report NUMBER."""

from __future__ import annotations

import json
import sys
import time

from otlp_requests import llm_span, request

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.store import Store
from spanledger.query_api.prices import changes
from spanledger.query_api.prices.reprice import Plan, reprice
from spanledger.schemas.database import Target, connect, migrate, parse_target
from spanledger.schemas.prices import load_prices
from spanledger.schemas.prices.overrides import add_override
from spanledger.schemas.settings import Settings


def make(target: Target, spans: int) -> None:
    """A ledger of so many calls, whose price is another since."""
    migrate(target)
    client = connect(target)
    load_prices(client)
    body = request(*(llm_span() for _ in range(spans))).SerializeToString()
    Store(target, Settings()).insert([Request(body, "default", time.time_ns(), check(body, 32).spans)])
    prices = [{"unit": unit, "price": "10"} for unit in ("input_tokens", "output_tokens")]
    add_override(client, match_value="gpt-4o-mini", prices=prices)


def price_anew(target: Target, chunk: int) -> None:
    changes.CHUNK = chunk
    plan = Plan(0, 1 << 62, who="a test", why="a mended price")
    for progress in reprice(connect(target), plan, "provider"):
        sys.stdout.write(f"{progress.done_spans}\n")
        sys.stdout.flush()


def report(target: Target, _: int) -> None:
    client = connect(target)
    spans = "SELECT count(), toString(sum(cost_usd)), uniqExact(cost_usd) FROM spans FINAL"
    history = (
        "SELECT count(), uniqExact(span_id), toString(min(old_cost_usd)), toString(max(old_cost_usd)), "
        "uniqExact(run) FROM cost_history"
    )
    found = [client.query(sql).result_rows[0] for sql in (spans, history)]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    folder, command, number = sys.argv[1:]
    {"make": make, "reprice": price_anew, "report": report}[command](
        parse_target(f"chdb://{folder}"), int(number)
    )
