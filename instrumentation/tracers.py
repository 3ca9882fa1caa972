"""Which TracerProvider our spans go to: the one given to `instrument`, otherwise the global one."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

_chosen: list[TracerProvider] = []
# By scope, with the provider that each is of.
_made: dict[str, tuple[TracerProvider, Tracer]] = {}


@cache
def package_version() -> str:
    try:
        return version("spanledger")
    except PackageNotFoundError:
        return "unknown"


def choose(provider: TracerProvider | None) -> None:
    """Send the spans of this package to one provider; None means the global one again."""
    _chosen[:] = [provider] if provider is not None else []
    _made.clear()


def chosen() -> TracerProvider | None:
    return _chosen[0] if _chosen else None


def tracer(scope: str, provider: TracerProvider | None = None) -> Tracer:
    """A provider is looked up for every call, so one that is set later is found.

    Its tracer is kept: the SDK changes the filters of warnings each time that it is asked for one.
    """
    asked = provider or chosen() or trace.get_tracer_provider()
    kept = _made.get(scope)
    if kept is None or kept[0] is not asked:
        kept = _made[scope] = asked, asked.get_tracer(scope, package_version())
    return kept[1]
