"""Times the SQL by hand, in a process of its own, and finds phrases to search for."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import sys
import time
from pathlib import Path

from clickhouse_connect.driver.client import Client

from bench.query.ledger import FIRST_DAY_NS, Ledger
from bench.query.questions import questions
from bench.sender import percentiles
from spanledger.schemas.database import connect_reader, parse_target

SEED = 7
_PHRASES = 40
_SOME_ANSWERS = """
SELECT content_json['gen_ai.output.messages'] || content_string['gen_ai.output.messages'] FROM spans
WHERE role = 'LLM' AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
LIMIT {most:UInt32}
"""
_WORDS = re.compile(r"(?<= )[a-z]+ [a-z]+ [a-z]+ [a-z]+(?= )")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name, default in Ledger.__dataclass_fields__.items():
        parser.add_argument(f"--{name}", type=int, default=default.default)
    parser.add_argument("--only", nargs="*")
    chosen = parser.parse_args()
    ledger = Ledger(chosen.spans, chosen.days, chosen.distinct)
    with contextlib.closing(connect_reader(parse_target(f"chdb://{chosen.folder / 'database'}"))) as client:
        phrases = _phrases(client, ledger)
        figures = {}
        for question in questions(ledger, phrases):
            if chosen.only and question.name not in chosen.only:
                continue
            chance = random.Random(SEED)
            took = []
            for _ in range(question.times):
                asked = question.ask(chance)
                started = time.perf_counter()
                rows = len(client.query(asked.sql, parameters=asked.parameters).result_rows)
                took.append(time.perf_counter() - started)
            figures[question.name] = percentiles(took[1:]) | {"rows": rows}
    json.dump({"phrases": phrases, "by_hand": figures}, sys.stdout)


def _phrases(client: Client, ledger: Ledger) -> list[str]:
    since = FIRST_DAY_NS + (ledger.end_ns - FIRST_DAY_NS) // 2
    answers = client.query(_SOME_ANSWERS, parameters={"since": since, "most": 5 * _PHRASES}).result_rows
    found = [match.group() for (answer,) in answers if (match := _WORDS.search(answer))]
    return found[:_PHRASES]


if __name__ == "__main__":
    main()
