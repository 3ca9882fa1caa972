"""Reading what an SDK handed over, whether it is a model or plain JSON."""

from collections.abc import Iterable, Mapping
from typing import Any


def field(value: Any, name: str) -> Any:
    """A field of a model or of plain JSON; raw responses are read as the latter."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()


def settled(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same with lists of its own: an application adds to its messages before a stream is over."""
    return {name: [*held] if isinstance(held, list) else held for name, held in body.items()}
