"""The figures for a reader: tables, the targets and whether they are met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any, Literal, NamedTuple

from rich.table import Table

Results = dict[str, Any]
MIB = 1024 * 1024
_SIGNS = {">=": "at least", "<=": "at most"}


class Sheet(NamedTuple):
    """A table; the first column is text, the others are figures."""

    name: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_table(self) -> Table:
        table = Table(title=self.title, title_justify="left")
        for n, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if n else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def as_markdown(self) -> str:
        lines = [self.headings, ["---"] + ["---:"] * (len(self.headings) - 1), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Target(NamedTuple):
    """A promise: `measured` finds the figure in the results, or None where it was not measured."""

    what: str
    measured: Callable[[Results], float | None]
    sign: Literal[">=", "<="]
    bound: float
    write: str

    def row(self, results: Results) -> list[str]:
        found = self.measured(results)
        bound = f"{_SIGNS[self.sign]} {self.write.format(self.bound)}" if self.bound else "0"
        if found is None:
            return [self.what, bound, "not measured", ""]
        met = found >= self.bound if self.sign == ">=" else found <= self.bound
        return [self.what, bound, self.write.format(found), "yes" if met else "NO"]


def _load(*path: str) -> Callable[[Results], float | None]:
    def find(results: Results) -> float | None:
        found: Any = results.get("load")
        for key in path:
            found = None if found is None else found.get(key)
        return found

    return find


def _of_ceiling(name: str) -> Callable[[Results], float | None]:
    def ratio(results: Results) -> float | None:
        rates = [one["rows_per_second"] for one in results.get("ceilings", []) if one["name"] == name]
        if not rates or "load" not in results:
            return None
        return float(results["load"]["spans_per_second"] / rates[0])

    return ratio


def _of_grpc(name: str) -> Callable[[Results], float | None]:
    def ratio(results: Results) -> float | None:
        rates = {one["name"]: one["spans_per_second"] for one in results.get("compared", [])}
        if name not in rates:
            return None
        flat = [rate for run, rate in rates.items() if run in ("grpc", "grpc, again")]
        return float(rates[name] / mean(flat))

    return ratio


def _peak_gib(results: Results) -> float | None:
    peak = _load("memory_peak_bytes")(results)
    return None if peak is None else peak / 2**30


TARGETS = (
    Target("acknowledged spans a second", _load("spans_per_second"), ">=", 75_000, "{:,.0f}"),
    Target("of Arrow, engine's defaults", _of_ceiling("Arrow, engine's defaults"), ">=", 0.7, "{:.2f}"),
    Target("of Arrow, our insert settings", _of_ceiling("Arrow, our insert settings"), ">=", 0.7, "{:.2f}"),
    Target("CPU-seconds a million spans", _load("server_cpu_s_per_million"), "<=", 25, "{:.1f}"),
    Target("peak memory, GiB", _peak_gib, "<=", 1.5, "{:.2f}"),
    Target("bytes a span on disk, merged", _load("bytes_per_span"), "<=", 320, "{:.0f}"),
    Target("acknowledged spans that are lost", _load("lost"), "<=", 0, "{:,.0f}"),
    Target("duplicate spans in answers", _load("duplicates"), "<=", 0, "{:,.0f}"),
    Target("HTTP protobuf, of gRPC", _of_grpc("http-protobuf"), ">=", 0.8, "{:.2f}"),
    Target("1 % of spans nested, of flat", _of_grpc("grpc, 1 % nested"), ">=", 0.5, "{:.2f}"),
    Target("lone request, median ms", _load("lone", "answer_ms", "p50"), "<=", 40, "{:.0f}"),
    Target("lone request, p99 ms", _load("lone", "answer_ms", "p99"), "<=", 150, "{:.0f}"),
)


def wrong(results: Results) -> list[str]:
    """What no run may have, whatever its speed: in words, for each run that has it."""
    runs = {"load": results["load"]} if "load" in results else {}
    runs |= {one["name"]: one for one in results.get("compared", [])}
    return [
        f"{name}: {run[what]} spans {what}"
        for name, run in runs.items()
        for what in ("lost", "duplicates", "unknown")
        if run[what]
    ]


def machine(results: Results) -> str:
    """What was measured on what, in a paragraph."""
    facts = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    quick = " by a quick run, too short to see merges," if results["quick"] else ""
    return (
        f"Measured {facts['measured_at'][:10]}{quick} at commit `{facts['commit']}` on {facts['cores']} "
        f"cores ({facts['processor']}, {facts['memory_bytes'] / 2**30:.0f} GiB, {facts['system']}) with "
        f"Python {facts['python']}, {packages}. The load average before was "
        f"{facts['load_average_before']:.2f}{_others(results)}."
    )


def _others(results: Results) -> str:
    if "load" not in results:
        return ""
    share = results["load"]["others_cpu_share"]
    settled = results["load"]["server_cpu_s_per_million_settled"]
    return (
        f"; during the large run, processes other than server and sender took {share:.2f} of a core. With "
        f"the merges that were left at its end, the server took {settled:.1f} CPU-seconds a million spans"
    )


def sheets(results: Results) -> list[Sheet]:
    """Every table that the results have figures for."""
    found = [_targets(results)]
    if "load" in results or "compared" in results:
        found.append(_runs(results))
    if "load" in results:
        found.append(_tenths(results))
    if "ceilings" in results:
        found.append(_ceilings(results))
    if "stages" in results:
        found.append(_stages(results))
    return found


def _targets(results: Results) -> Sheet:
    rows = [target.row(results) for target in TARGETS]
    return Sheet("targets", "Targets", ("what", "target", "measured", "met"), rows)


def _runs(results: Results) -> Sheet:
    headings = (
        "run",
        "spans",
        "spans/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU s/M",
        "sender",
        "others",
        "peak MiB",
        "parts",
        "refused",
        "lost",
        "twice",
    )
    runs = results.get("compared", [])
    if "load" in results:
        load = results["load"]
        runs = [load | {"name": f"{load['load']['protocol']}, large"}, *runs]
    title = (
        "Runs. CPU-seconds a million spans of server and sender; cores that others took; most active parts; "
        "requests told to come again; spans lost and duplicated"
    )
    return Sheet("runs", title, headings, [_run(run) for run in runs])


def _run(run: Results) -> list[str]:
    answers = run["answer_ms"]
    return [
        run["name"],
        f"{run['spans']:,}",
        f"{run['spans_per_second']:,.0f}",
        *(f"{answers[name]:,.0f}" for name in ("p50", "p95", "p99")),
        f"{run['server_cpu_s_per_million']:.1f}",
        f"{run['sender_cpu_s_per_million']:.1f}",
        f"{run['others_cpu_share']:.2f}",
        f"{run['memory_peak_bytes'] / MIB:,.0f}",
        str(run["parts_most"]),
        str(sum(run["refused"].values())),
        str(run["lost"]),
        str(run["duplicates"]),
    ]


def _tenths(results: Results) -> Sheet:
    tenths = results["load"]["tenths"]
    return Sheet(
        "tenths",
        "Spans a second in each tenth of the run",
        ("tenth", *(str(n) for n in range(1, len(tenths) + 1))),
        [["spans/s", *(f"{rate:,.0f}" for rate in tenths)]],
    )


def _ceilings(results: Results) -> Sheet:
    ours = results.get("load")
    rows = [
        [
            one["name"],
            f"{one['rows']:,}",
            f"{one['rows_per_second']:,.0f}",
            f"{ours['spans_per_second'] / one['rows_per_second']:.2f}" if ours else "",
            f"{one['cpu_s_per_million']:.1f}",
            f"{one['cpu_s_per_million_settled']:.1f}",
            f"{one['memory_most_bytes'] / MIB:,.0f}",
            str(one["parts_most"]),
        ]
        for one in results["ceilings"]
    ]
    headings = ("ceiling", "rows", "rows/s", "ours of it", "CPU s/M", "with merges", "peak MiB", "parts")
    writers = results["ceilings"][0]["writers"]
    return Sheet("ceilings", f"The same rows, made beforehand, {writers} writers", headings, rows)


def _stages(results: Results) -> Sheet:
    rows = [
        [
            one["stage"],
            f"{one['cpu_us']:.2f}",
            f"{one['wall_us']:.2f}",
            f"{one['lone_ms']:.1f}",
            f"{one['lone_cpu_ms']:.1f}",
        ]
        for one in results["stages"]
    ]
    cpu, lone = (sum(one[what] for one in results["stages"]) for what in ("cpu_us", "lone_ms"))
    rows.append(["sum", f"{cpu:.2f}", "", f"{lone:.1f}", ""])
    headings = ("stage alone", "CPU µs a span", "wall µs a span", "ms a lone span", "its CPU ms")
    return Sheet("stages", "What each stage adds: a large insert, and a request of one span", headings, rows)
