"""Takes out of recorded OTLP/JSON what names the machine, the user or the folder of a recording."""

from __future__ import annotations

import re
from typing import Any
from uuid import NAMESPACE_OID, uuid5

_NEUTRAL = {
    "host.name": "host-1",
    "host.id": "host-id-1",
    "process.owner": "app",
    "process.command": "app",
    "process.command_line": "app",
    "process.command_args": "app",
    "process.executable.name": "app",
    "process.executable.path": "app",
    "process.working_directory": "app",
    "os.version": "1",
    "os.build_id": "1",
    "os.description": "1",
}
_PID, _INSTANCE = "process.pid", "service.instance.id"
_FIRST_PID = 4711
# What a path is inside of, so that only the machine's part of it goes.
_PATHS = re.compile(
    r"(?:file://)?(?<![\w.@-])/(?:[^\s\"'/:]+/)*(site-packages|node_modules|drivers|lib/python3\.\d+)/"
)
_OTHER_PATHS = re.compile(r"(?<![\w./:])/(?:work|home|root|tmp|opt|usr|var)/[^\s\"',)]*")


def neutral(requests: list[Any]) -> list[Any]:
    """The same requests with neutral values; different process ids and instances stay different."""
    seen: dict[tuple[str, str], int] = {}
    return [_neutral(request, seen) for request in requests]


def _neutral(value: Any, seen: dict[tuple[str, str], int]) -> Any:
    if isinstance(value, list):
        return [_neutral(item, seen) for item in value]
    if isinstance(value, str):
        return _OTHER_PATHS.sub("path", _PATHS.sub(r"\1/", value))
    if not isinstance(value, dict):
        return value
    key = value.get("key")
    if key in _NEUTRAL:
        return {"key": key, "value": {"stringValue": _NEUTRAL[key]}}
    if key in {_PID, _INSTANCE}:
        number = seen.setdefault((key, str(value["value"])), sum(name == key for name, _ in seen))
        return {"key": key, "value": _counted(key, number)}
    return {name: _neutral(inner, seen) for name, inner in value.items()}


def _counted(key: str, number: int) -> dict[str, str]:
    if key == _PID:
        return {"intValue": str(_FIRST_PID + number)}
    return {"stringValue": str(uuid5(NAMESPACE_OID, f"instance {number}"))}
