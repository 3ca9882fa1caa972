"""Wrapping a method of someone else's class so that it can be undone completely."""

from collections.abc import Callable
from typing import Any

import wrapt

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


class Patch:
    """A method of a class, wrapped where it is defined so that subclasses are wrapped once; or a function."""

    def __init__(self, target: Any, name: str, wrapper: Wrapper) -> None:
        owners = getattr(target, "__mro__", (target,))
        self._owner: Any = next(owner for owner in owners if name in vars(owner))
        self._name = name
        self._original = vars(self._owner)[name]
        self.foreign = hasattr(self._original, "__wrapped__")
        self._active = True

        def switched(
            wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            # Someone may keep the bound method, or wrap it again: then undo cannot take it away.
            return wrapper(wrapped, instance, args, kwargs) if self._active else wrapped(*args, **kwargs)

        # Positional, because wrapt 2 renamed the first parameter.
        self._wrapped = wrapt.wrap_function_wrapper(self._owner, name, switched)

    def undo(self) -> None:
        self._active = False
        if vars(self._owner).get(self._name) is self._wrapped:
            setattr(self._owner, self._name, self._original)
