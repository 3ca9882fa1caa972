"""A distro for `opentelemetry-instrument`: OTEL_PYTHON_DISTRO=spanledger.

It does what `spanledger run` does, by the same variables, and lets every other instrumentation load besides.
"""

import os
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro, DefaultDistro  # type: ignore[attr-defined]
from opentelemetry.util._importlib_metadata import EntryPoint, entry_points

from spanledger.instrumentation.quiet import quietly

NAME = "spanledger"
CHOICE = "OTEL_PYTHON_DISTRO"
_GROUP = "opentelemetry_distro"


class LedgerDistro(BaseDistro):  # type: ignore[misc]
    """Sets up our tracing, if it was named; otherwise it is as if it was not installed.

    OpenTelemetry takes the first distro that it finds where none is named, and that may be this one.
    """

    def _configure(self, **kwargs: Any) -> None:
        if os.environ.get(CHOICE) != NAME:
            _another().configure(**kwargs)
            return
        with quietly("instrumenting this process"):
            from spanledger.instrumentation.setup import instrument_from_environment

            instrument_from_environment()

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Ours are watching for their SDKs already."""
        if os.environ.get(CHOICE) == NAME and entry_point.name.startswith(f"{NAME}_"):
            return
        super().load_instrumentor(entry_point, **kwargs)


def _another() -> Any:
    for entry_point in entry_points(group=_GROUP):
        if entry_point.name != NAME:
            return entry_point.load()()
    return DefaultDistro()
