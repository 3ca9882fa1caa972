"""`make bench`: what the ledger takes in, beside what its engine can do, and where the time goes.

Every measurement has a server of its own on an empty embedded database. An acknowledged span is committed
and visible; after each run all of them are looked up by their ids.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.machine import facts
from bench.report import sheets, wrong
from bench.runs import Figures, Run, ceilings, stages
from bench.sender import Load, add_load, chosen_load
from bench.workload import Workload, add_workload, chosen_workload
from spanledger.schemas.settings import Settings

_PARTS = ("load", "ceiling", "compare", "stages")
_QUICK = {"spans": 131_072, "compared_spans": 65_536, "lone_requests": 50}
_QUICK_EFFORT = {"inserts": 1, "merged_inserts": 4, "lone": 10}
_NESTED_SHARE = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    quick = "--quick" in sys.argv
    defaults = _QUICK if quick else {}
    parser.add_argument(
        "--quick", action="store_true", help="a fraction of everything, for a first impression"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, help="leave out the other parts")
    parser.add_argument(
        "--compared-spans",
        type=int,
        default=defaults.get("compared_spans", 400_000),
        help="spans in each run that is compared with another (default: %(default)s)",
    )
    parser.add_argument(
        "--lone-requests",
        type=int,
        default=defaults.get("lone_requests", 300),
        help="requests of one span, on the idle server after the load (default: %(default)s)",
    )
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the server, like insert_workers=4",
    )
    add_load(parser)
    add_workload(parser, **{name: value for name, value in defaults.items() if name == "spans"})
    chosen = parser.parse_args()
    console = Console(width=max(Console().width, 136))
    workload = chosen_workload(parser, chosen)
    results: Figures = {}
    for results in measured(chosen, workload, say=lambda what: console.print(f"[dim]{what} ...[/dim]")):
        # After each part: a later one that fails takes nothing with it.
        if chosen.json:
            chosen.json.write_text(json.dumps(results) + "\n")
    for sheet in sheets(results):
        console.print(sheet.as_table())
    if problems := wrong(results):
        sys.exit("; ".join(problems))


def measured(chosen: argparse.Namespace, workload: Workload, say: Callable[[str], None]) -> Iterator[Figures]:
    """All results so far, after each part."""
    load = chosen_load(chosen)
    settings = dict(setting.split("=", 1) for setting in chosen.setting)
    results: Figures = {"machine": facts(), "settings": settings, "quick": chosen.quick}
    if "load" in chosen.only:
        say(f"{workload.stored_spans:,} spans over {load.protocol}, then lone requests")
        results["load"] = Run(workload, load, settings, lone=chosen.lone_requests, whole=True).measure()
        yield results
    if "ceiling" in chosen.only:
        writers = int(settings.get("insert_workers", Settings.model_fields["insert_workers"].default))
        say(f"the same rows made beforehand, {writers} writers")
        results["ceilings"] = ceilings(workload, writers)
        yield results
    if "compare" in chosen.only:
        few = replace(workload, spans=chosen.compared_spans)
        runs = _compared(few, load)
        results["compared"] = []
        for name, one, how in runs[:3] if chosen.quick else runs:
            say(f"{one.stored_spans:,} spans over {name}")
            results["compared"].append({"name": name} | Run(one, how, settings).measure())
            yield results
    if "stages" in chosen.only:
        say("each stage alone")
        results["stages"] = stages(**(_QUICK_EFFORT if chosen.quick else {}))
        yield results


def _compared(workload: Workload, load: Load) -> list[tuple[str, Workload, Load]]:
    """What is set beside each other. Flat spans over gRPC come first and last: a machine's speed drifts."""
    flat, nested = replace(workload, nested=0.0), replace(workload, nested=_NESTED_SHARE)
    grpc = load._replace(protocol="grpc")
    return [
        ("grpc", flat, grpc),
        ("http-protobuf", flat, load._replace(protocol="http-protobuf")),
        ("grpc, 1 % nested", nested, grpc),
        ("http-json", flat, load._replace(protocol="http-json")),
        ("grpc, again", flat, grpc),
    ]


if __name__ == "__main__":
    main()
