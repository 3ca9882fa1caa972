"""Across processes: `traceparent` into the calls of providers, session and user in W3C baggage.

Baggage is always read: who called this process may have said for whom. It is written, and `traceparent` is
sent to the provider, only where the application asks for it (`instrument(propagate=True)`), because
instrumentations of HTTP clients put baggage into every request that leaves the process.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spanledger.instrumentation.options import options
from spanledger.schemas import attributes as names

# Entries of baggage are named as the attributes that they become.
KEYS = (names.SESSION_ID, names.USER_ID)
_traceparent = TraceContextTextMapPropagator()


def headers(context: Context) -> dict[str, str]:
    """The headers that continue this context's trace at the provider; none unless it is asked for."""
    found: dict[str, str] = {}
    if options().propagate:
        _traceparent.inject(found, context)
    return found


def added(given: Any, context: Context) -> Any:
    """What a call's own headers become: those of `headers` besides, never instead.

    Headers in another form than a mapping, such as an SDK's "not given", count as none.
    """
    ours = headers(context)
    if not ours:
        return given
    own = given if isinstance(given, Mapping) else {}
    present = {str(name).lower() for name in own}
    return {**{name: value for name, value in ours.items() if name not in present}, **own}


def read(context: Context | None) -> Mapping[str, str]:
    """Session and user as the baggage of this context names them."""
    entries = baggage.get_all(context)
    if not entries:
        return {}
    return {key: value for key in KEYS if isinstance(value := entries.get(key), str) and value}


def written(context: Context, entries: Iterable[tuple[str, Any]]) -> Context:
    """The context whose baggage names session and user, if the application propagates."""
    if options().propagate:
        for key, value in entries:
            if key in KEYS:
                context = baggage.set_baggage(key, value, context)
    return context
