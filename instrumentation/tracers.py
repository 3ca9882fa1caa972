"""Which TracerProvider our spans go to: the one given to `instrument`, otherwise the global one."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

_chosen: list[TracerProvider] = []


@cache
def package_version() -> str:
    try:
        return version("spanledger")
    except PackageNotFoundError:
        return "unknown"


def choose(provider: TracerProvider | None) -> None:
    """Send the spans of this package to one provider; None means the global one again."""
    _chosen[:] = [provider] if provider is not None else []


def chosen() -> TracerProvider | None:
    return _chosen[0] if _chosen else None


def tracer(scope: str, provider: TracerProvider | None = None) -> Tracer:
    """A tracer is looked up for every call, so a provider that is set later is found."""
    return trace.get_tracer(scope, package_version(), provider or chosen())
