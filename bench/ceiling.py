"""What the engine can do at all: the same rows, made beforehand, inserted by as many writers.

`python -m bench.ceiling prepare FOLDER` makes the rows, in the order in which the collector writes them, as
Arrow and in ClickHouse's Native format; `python -m bench.ceiling insert FOLDER` inserts them into an empty
table and prints a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from bench.pipeline import TABLE, Rows, checked, fresh_database
from bench.requests import Requests
from bench.watch import Watch, memory_bytes, table_folder, wait_until_idle
from bench.workload import Workload, add_workload, chosen_workload
from spanledger.schemas.database import connect
from spanledger.schemas.rewriting import INSERT_SETTINGS

_ROWS = 32_768  # a block this large was the fastest of 8k, 16k, 32k and 64k
_FORMATS = {"arrow": "ArrowStream", "native": "Native"}


def prepare(workload: Workload, folder: Path) -> None:
    """The rows of a workload as files in each format, each of 32,768 rows."""
    with fresh_database() as database:
        client, rows = database.client, Rows(database)
        # Memory keeps the order of the rows.
        client.command(f"CREATE TABLE rows_made AS {TABLE} ENGINE = Memory")
        bodies = iter(Requests(workload))
        number = 0
        while some := list(islice(bodies, max(_ROWS // workload.spans_per_request, 1))):
            block = rows.make(checked(some))
            (folder / f"{number:05}.native").write_bytes(block.data)
            rows.insert(block, "rows_made")
            made = client.raw_query("SELECT * FROM rows_made SETTINGS max_threads = 1", fmt="ArrowStream")
            (folder / f"{number:05}.arrow").write_bytes(made)
            client.command("TRUNCATE TABLE rows_made")
            number += 1


def insert(folder: Path, *, form: str, writers: int, optimize_on_insert: int) -> dict[str, Any]:
    """Insert the files of a format into an empty database; the figures of that."""
    with ExitStack() as stack:
        database = stack.enter_context(fresh_database())
        clients = [stack.enter_context(closing(connect(database.target))) for _ in range(writers)]
        files = iter(sorted(folder.glob(f"*.{form}")))
        settings = INSERT_SETTINGS | {"optimize_on_insert": optimize_on_insert}

        def write(client: Client) -> None:
            for file in files:
                client.raw_insert(
                    TABLE, insert_block=file.read_bytes(), settings=settings, fmt=_FORMATS[form]
                )

        with Watch(os.getpid(), table_folder(database.folder, TABLE)) as watch:
            started = time.perf_counter()
            with ThreadPoolExecutor(writers) as threads:
                list(threads.map(write, clients))
            took = time.perf_counter() - started
        later = wait_until_idle(os.getpid(), at_most_s=120)
        rows = int(database.client.query(f"SELECT count() FROM {TABLE}").first_row[0])
        seen = watch.report()
        return {
            "rows": rows,
            "format": form,
            "writers": writers,
            "optimize_on_insert": optimize_on_insert,
            "seconds": round(took, 3),
            "rows_per_second": round(rows / took, 1),
            "cpu_s_per_million": round(seen["cpu_s"] / rows * 1e6, 2),
            "cpu_s_per_million_settled": round((seen["cpu_s"] + later) / rows * 1e6, 2),
            "memory_most_bytes": memory_bytes(os.getpid(), "VmHWM"),
            "parts_most": seen["parts_most"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.ceiling", description=__doc__)
    parser.add_argument("step", choices=("prepare", "insert"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--form", choices=_FORMATS, default="arrow")
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--optimize-on-insert", type=int, default=0, help="1 is the engine's default")
    add_workload(parser)
    chosen = parser.parse_args()
    if chosen.step == "prepare":
        prepare(chosen_workload(parser, chosen), chosen.folder)
    else:
        figures = insert(
            chosen.folder,
            form=chosen.form,
            writers=chosen.writers,
            optimize_on_insert=chosen.optimize_on_insert,
        )
        json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
