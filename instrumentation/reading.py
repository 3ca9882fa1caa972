"""Reading what an SDK handed over, whether it is a model or plain JSON."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any


def field(value: Any, name: str) -> Any:
    """A field of a model or of plain JSON; raw responses are read as the latter.

    A dozen are asked for in every chunk of a stream, most of them not there: pydantic's own answer to that is
    an error with a text, which takes longer than all else, so its models are looked into.
    """
    kind: Any = type(value)
    if _is_mapping(kind):
        return value.get(name)
    if not _is_model(kind):
        return getattr(value, name, None)
    held = value.__dict__
    if name in held:
        return held[name]
    more = value.__pydantic_extra__
    if more and name in more:
        return more[name]
    return getattr(value, name, None) if _has(kind, name) else None


@lru_cache(maxsize=1024)
def _is_mapping(kind: Any) -> bool:
    return issubclass(kind, Mapping)


@lru_cache(maxsize=1024)
def _is_model(kind: Any) -> bool:
    return hasattr(kind, "__pydantic_extra__")


@lru_cache(maxsize=1024)
def _has(kind: Any, name: str) -> bool:
    """Whether it is a property or a method of the model."""
    return hasattr(kind, name)


def items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()


def settled(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same with lists of its own: an application adds to its messages before a stream is over."""
    return {name: [*held] if isinstance(held, list) else held for name, held in body.items()}
