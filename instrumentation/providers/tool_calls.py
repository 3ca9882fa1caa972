"""Calls of tools put together from the pieces of a stream, told apart by index and id."""

from typing import Any

from spanledger.instrumentation.calls import Message
from spanledger.instrumentation.content import tool_call_part
from spanledger.instrumentation.reading import field


class ToolCalls:
    """The calls of one answer so far, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._slots: dict[Any, dict[str, Any]] = {}

    def add(self, call: Any, index: Any = None) -> None:
        """One piece: an id begins a call, even under an index that another one had; the rest continues it."""
        call_id, function = field(call, "id"), field(call, "function") or {}
        slot = index if index is not None else call_id
        found = self._slots.get(slot) if slot is not None else self._last()
        if found is None or (call_id and found["id"] not in {None, call_id}):
            found = {"id": None, "name": None, "arguments": []}
            self._calls.append(found)
            self._slots[slot] = found
        found["id"] = found["id"] or call_id
        found["name"] = found["name"] or field(function, "name")
        arguments = field(function, "arguments")
        if arguments is not None:
            found["arguments"].append(arguments)

    def _last(self) -> dict[str, Any] | None:
        return self._calls[-1] if self._calls else None

    def parts(self) -> list[Message]:
        return [tool_call_part(call["id"], call["name"], _joined(call["arguments"])) for call in self._calls]


def _joined(pieces: list[Any]) -> Any:
    """Arguments come as JSON text in pieces, or as a structure at once."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    return next(piece for piece in pieces if not isinstance(piece, str))
