"""Who and what the calls below belong to: session, user, tags and metadata, carried by the OTel context."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import Token
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import propagation
from spanledger.schemas import attributes as names

_KEY = "spanledger-ambient-attributes"
# Truth values are numbers to Python.
_NUMBERS = (int, float)
_WHOLE = 2**63


def ambient(context: Context | None = None) -> Mapping[str, AttributeValue]:
    """The attributes that every span started in this context carries.

    Session and user may also come from the baggage of who called this process; what is set here wins.
    """
    found = otel_context.get_value(_KEY, context)
    held = found if isinstance(found, dict) else {}
    received = propagation.read(context)
    return {**{key: clean(value) for key, value in received.items()}, **held} if received else held


def enter(context: Context) -> Token[Context]:
    return otel_context.attach(context)


def leave(token: Token[Context]) -> None:
    """Detach without the log record that OTel writes when another task closes an async generator."""
    try:
        token.var.reset(token)
    except ValueError:
        return
    except AttributeError:
        # A context implementation of someone else hands out other tokens.
        otel_context.detach(token)


def clean(text: str) -> str:
    """Text that can be encoded: one lone surrogate would cost the exporter its whole batch."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def is_too_large(value: Any) -> bool:
    """Whether an exporter's 64 bits do not hold this whole number."""
    return isinstance(value, int) and not -_WHOLE <= value < _WHOLE


def attribute_value(value: Any) -> AttributeValue:
    """What OTel accepts as an attribute, otherwise the value's text."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, _NUMBERS):
        return str(value) if is_too_large(value) else value
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(str(item)) for item in value]
    return clean(str(value))


@contextmanager
def attributes_for(
    *,
    session: str | None = None,
    user: str | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    experiment: str | None = None,
) -> Iterator[None]:
    """Every span started in the block carries these, spans of other instrumentations included.

    Nested blocks add up: tags are joined, metadata is merged, an inner session, user or experiment wins.
    """
    merged = {**ambient(), **_given(session, user, metadata, experiment)}
    if tags:
        before = cast("Sequence[str]", merged.get(names.TAGS, ()))
        merged[names.TAGS] = tuple(dict.fromkeys([*before, *(clean(str(tag)) for tag in tags)]))
    here = otel_context.set_value(_KEY, merged)
    token = enter(propagation.written(here, _given(session, user, None, None).items()))
    try:
        yield
    finally:
        leave(token)


def session(session_id: str) -> AbstractContextManager[None]:
    """Calls in the block belong to one session, which is also their conversation."""
    return attributes_for(session=session_id)


def user(user_id: str) -> AbstractContextManager[None]:
    """Calls in the block are made for one user."""
    return attributes_for(user=user_id)


def tags(*labels: str) -> AbstractContextManager[None]:
    """Calls in the block carry these tags besides those of the blocks around."""
    return attributes_for(tags=labels)


def metadata(**entries: Any) -> AbstractContextManager[None]:
    """Calls in the block carry `spanledger.metadata.<key>` for every entry that is not None."""
    return attributes_for(metadata=entries)


def experiment(experiment_id: str) -> AbstractContextManager[None]:
    """Calls in the block belong to one experiment."""
    return attributes_for(experiment=experiment_id)


def _given(
    session_id: str | None, user_id: str | None, entries: Mapping[str, Any] | None, experiment_id: str | None
) -> dict[str, AttributeValue]:
    single = {names.SESSION_ID: session_id, names.USER_ID: user_id, names.EXPERIMENT_ID: experiment_id}
    found: dict[str, AttributeValue] = {
        key: clean(str(value)) for key, value in single.items() if value is not None
    }
    for key, value in (entries or {}).items():
        if value is not None:
            found[names.METADATA_PREFIX + clean(key)] = attribute_value(value)
    return found
