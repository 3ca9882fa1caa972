"""What is sent in a run: every byte follows from these numbers."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

SPANS_IN_TRACE = 8
LEAST_ATTRIBUTES = 8

Encoding = Literal["protobuf", "json"]


@dataclass(frozen=True)
class Workload:
    """`requests` requests of `spans_per_request` spans; traces of 8 spans follow one another through them.

    `span_bytes`: mean size of a span in the protobuf encoding. `attributes`: of each span. `errors`,
    `nested`: share of the spans that failed, and that carry a map or an array of arrays. `distinct`: after
    so many spans the texts come again, under new ids and times. `start_time_ns`: when the first trace began;
    `trace_every_ns`: how long after it the next one did.
    Raises ValueError naming what cannot be.
    """

    seed: int = 1
    spans: int = 2_000_000
    spans_per_request: int = 512
    span_bytes: int = 1400
    attributes: int = 20
    errors: float = 0.01
    nested: float = 0.0
    distinct: int = 16_384
    start_time_ns: int = 1_767_614_400_000_000_000  # 2026-01-05 12:00 UTC: one hour, one partition
    trace_every_ns: int = SPANS_IN_TRACE * 10**9 // 75_000  # as if 75,000 spans came in a second
    encoding: Encoding = "protobuf"

    def __post_init__(self) -> None:
        for name in ("spans", "spans_per_request", "distinct"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if self.attributes < LEAST_ATTRIBUTES:
            raise ValueError(f"attributes is {self.attributes}; a GenAI span has at least {LEAST_ATTRIBUTES}")
        for name in ("errors", "nested"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share, from 0 to 1")

    @property
    def requests(self) -> int:
        """The last request is a full one too, so that `stored_spans` may be more than `spans`."""
        return math.ceil(self.spans / self.spans_per_request)

    @property
    def stored_spans(self) -> int:
        return self.requests * self.spans_per_request

    @property
    def cycle(self) -> int:
        """After how many spans the texts come again: whole traces in whole requests."""
        step = math.lcm(SPANS_IN_TRACE, self.spans_per_request)
        return math.ceil(self.distinct / step) * step

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_HELP = {
    "seed": "the same seed sends the same bytes",
    "spans": "spans in the run",
    "spans_per_request": "spans in a request",
    "span_bytes": "mean size of a span in protobuf",
    "attributes": "attributes of a span",
    "errors": "share of spans that failed",
    "nested": "share of spans with a map or an array of arrays among their attributes",
    "distinct": "spans until their texts come again",
    "start_time_ns": "start of the first trace",
    "trace_every_ns": "nanoseconds from the start of a trace to that of the next",
}


def add_workload(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """A flag for each number, with the defaults of `Workload` where `defaults` has no other."""
    group = parser.add_argument_group("workload")
    for field in fields(Workload):
        if field.name in _HELP:
            default = defaults.get(field.name, field.default)
            group.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=type(field.default),
                default=default,
                help=f"{_HELP[field.name]} (default: %(default)s)",
            )


def chosen_workload(
    parser: argparse.ArgumentParser, chosen: argparse.Namespace, encoding: Encoding = "protobuf"
) -> Workload:
    """Ends the program where the numbers cannot be."""
    try:
        return Workload(**{name: getattr(chosen, name) for name in _HELP}, encoding=encoding)
    except ValueError as error:
        parser.error(str(error))
