"""Measurements: a server and a sender as processes of their own, and what each took and did."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.machine import ROOT
from bench.sender import Load
from bench.served import Served, running_server
from bench.transports import PROTOCOLS
from bench.watch import Watch, cpu_seconds, memory_bytes, table_folder, wait_until_idle
from bench.workload import Workload

Figures = dict[str, Any]

_WARM_UP = Workload(seed=1_000_001, spans=4096, distinct=4096)
_LONE_SEED = 1_000_002
_SETTLED_WITHIN_S = 180


@dataclass
class Run:
    """A load on a fresh server. `lone`: so many requests of one span follow when its merges are done.
    `whole`: wait for merges, and measure the size on disk. `looks_every_s`: how often memory and parts are
    looked at; `looks_at_disk`: at the size of the database too, which takes longer."""

    workload: Workload
    load: Load
    settings: Mapping[str, str] = field(default_factory=dict)
    lone: int = 0
    whole: bool = False
    looks_every_s: float = 0.5
    looks_at_disk: bool = False

    def measure(self) -> Figures:
        """Raises CalledProcessError where spans are not acknowledged; what the sender said is on stderr."""
        with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as place:
            with running_server(Path(place), self.settings) as served:
                sent, figures = self._load(served)
            figures |= _module("bench.audit", served.database, *(["--size"] * self.whole), given=sent)
        return {"load": self.load._asdict()} | figures

    def _load(self, served: Served) -> tuple[list[Figures], Figures]:
        encoding = PROTOCOLS[self.load.protocol]
        workload, warm_up = (replace(one, encoding=encoding) for one in (self.workload, _WARM_UP))
        # The engine starts its threads, and caches what it knows of the statements.
        _send(served, warm_up, self.load)
        watch = Watch(
            served.pid,
            table_folder(served.database, "spans"),
            every_s=self.looks_every_s,
            folder=served.database if self.looks_at_disk else None,
        )
        figures = _watched(served, workload, self.load, watch) | {"workload": workload.to_dict()}
        sent = [warm_up, workload]
        if self.whole or self.lone:
            later = wait_until_idle(served.pid, at_most_s=_SETTLED_WITHIN_S)
            figures["server_cpu_s_per_million_settled"] = round(
                figures["server_cpu_s_per_million"] + later / figures["spans"] * 1e6, 2
            )
        if self.lone:
            alone = Workload(seed=_LONE_SEED, spans=self.lone, spans_per_request=1, distinct=512)
            sent.append(alone)
            figures["lone"] = _lone(served, alone)
        # The kernel keeps both only roughly, so that the high-water mark may lie below what a look saw.
        peak = max(memory_bytes(served.pid, "VmHWM"), figures["memory_most_bytes"])
        figures["memory_peak_bytes"] = peak
        return [one.to_dict() for one in sent], figures


def _watched(served: Served, workload: Workload, load: Load, watch: Watch) -> Figures:
    with subprocess.Popen(
        _command(served, workload, load, "--wait"),
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdout.readline()
        ours = time.process_time()
        with watch:
            printed, _ = sender.communicate("go\n")
        ours = time.process_time() - ours
    if sender.returncode:
        raise subprocess.CalledProcessError(sender.returncode, sender.args)
    figures: Figures = json.loads(printed)
    seen = watch.report()
    millions = figures["spans"] / 1e6
    others = watch.busy_s - seen["cpu_s"] - figures["cpu_s"] - ours
    return figures | {
        "server_cpu_s_per_million": round(seen["cpu_s"] / millions, 2),
        "sender_cpu_s_per_million": round(figures["cpu_s"] / millions, 2),
        # Of one core, while the load ran: what of the machine was not ours.
        "others_cpu_share": round(max(others, 0) / figures["seconds"], 3),
        "memory_most_bytes": seen["memory_most_bytes"],
        "parts_most": seen["parts_most"],
        "parts_at_end": seen["parts_last"],
        "looks": seen["looks"],
    }


def _lone(served: Served, workload: Workload) -> Figures:
    """One request after the other on the server that has nothing else to do."""
    cpu = cpu_seconds(served.pid)
    figures = _send(served, workload, Load(connections=1, in_flight=1, pause_s=0.05))
    cpu = cpu_seconds(served.pid) - cpu
    return {
        "requests": figures["spans"],
        "answer_ms": figures["answer_ms"],
        "server_cpu_ms": round(cpu / figures["spans"] * 1e3, 2),
    }


def _send(served: Served, workload: Workload, load: Load) -> Figures:
    finished = subprocess.run(
        _command(served, workload, load), cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
    )
    figures: Figures = json.loads(finished.stdout)
    return figures


def _command(served: Served, workload: Workload, load: Load, *more: str) -> list[str]:
    address = served.address(load.protocol)
    flags = _flags(workload.to_dict() | load._asdict())
    return [sys.executable, "-m", "bench.sender", address, *more, *flags]


def _flags(numbers: Mapping[str, Any]) -> list[str]:
    """The encoding follows from the protocol."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in numbers.items() if name != "encoding"]


def _module(name: str, *arguments: object, given: Any = None) -> Any:
    """What a module of the benchmark prints, as a process of its own: the engine has one folder in each."""
    finished = subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
        cwd=ROOT,
        input=json.dumps(given),
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(finished.stdout)


# (format, optimize_on_insert): the engine at its default, and as the collector inserts.
_CEILINGS = {
    "Arrow, engine's defaults": ("arrow", 1),
    "Arrow, our insert settings": ("arrow", 0),
    "Native, our insert settings": ("native", 0),
}


def ceilings(workload: Workload, writers: int) -> list[Figures]:
    """The same rows prepared in blocks, inserted by as many writers."""
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as blocks:
        subprocess.run(
            [sys.executable, "-m", "bench.ceiling", "prepare", blocks, *_flags(workload.to_dict())],
            cwd=ROOT,
            check=True,
        )
        return [
            {"name": name}
            | _module(
                "bench.ceiling",
                "insert",
                blocks,
                *_flags({"form": form, "writers": writers, "optimize_on_insert": optimize_on_insert}),
            )
            for name, (form, optimize_on_insert) in _CEILINGS.items()
        ]


def stages(**effort: int) -> list[Figures]:
    found: list[Figures] = _module("bench.stages", *_flags(effort))
    return found
