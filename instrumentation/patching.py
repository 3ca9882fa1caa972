"""Wrapping a method of someone else's class so that it can be undone completely."""

import pkgutil
from collections.abc import Callable
from typing import Any

import wrapt

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


class _Function(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """Copied and pickled as a function is, by its name; wrapt's own wrappers refuse both."""

    def __copy__(self) -> "_Function":
        return self

    def __deepcopy__(self, _memo: Any) -> "_Function":
        return self

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)


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

        self._wrapped = wrapt.wrap_object(self._owner, name, _Function, (switched,))

    def undo(self) -> None:
        self._active = False
        if vars(self._owner).get(self._name) is self._wrapped:
            setattr(self._owner, self._name, self._original)
