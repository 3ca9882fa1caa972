"""What the application may ask of every provider besides content; decided once, read by the providers.

What was passed to `instrument` wins over the environment. All of it is off by default, because it changes
what leaves the process.
"""

import os
from dataclasses import dataclass, replace

from spanledger.instrumentation.quiet import say_once

INCLUDE_USAGE = "SPANLEDGER_INCLUDE_USAGE"
PROPAGATE = "SPANLEDGER_PROPAGATE"

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Options:
    """`include_usage`: ask for the usage of streams where the application does not, and hide that chunk.

    `propagate`: send `traceparent` with every call, and name session and user in the context's baggage.
    """

    include_usage: bool = False
    propagate: bool = False


_decided: list[Options] = []


def decide(*, include_usage: bool | None = None, propagate: bool | None = None) -> Options:
    """Read the settings once; the answer holds until the next call of this function or of `change`."""
    _decided[:] = [Options(include_usage=switch(INCLUDE_USAGE), propagate=switch(PROPAGATE))]
    return change(include_usage=include_usage, propagate=propagate)


def change(*, include_usage: bool | None = None, propagate: bool | None = None) -> Options:
    """Change what is given."""
    given = {"include_usage": include_usage, "propagate": propagate}
    _decided[:] = [replace(options(), **{key: value for key, value in given.items() if value is not None})]
    return _decided[0]


def options() -> Options:
    return _decided[0] if _decided else decide()


def switch(name: str, *, default: bool = False) -> bool:
    """A variable that is true or false; one that is neither is warned of and counts as not set."""
    text = os.environ.get(name, "").strip().lower()
    if text and text not in _YES | _NO:
        say_once(f"{name} is {text!r}; allowed are true and false: it is {'on' if default else 'off'}")
    return text in _YES or (default and text not in _NO)
