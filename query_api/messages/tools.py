"""Tool definitions of any spelling, as `{type, name, description, parameters}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanledger.query_api.messages.chat import is_definition
from spanledger.query_api.messages.parse import UNREADABLE, first, mapping, numbered, parse
from spanledger.query_api.values import readable

Definition = dict[str, Any]

_PARAMETERS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "json_schema", "schema")
_DECLARED = ("functionDeclarations", "function_declarations")


def definitions(sent: Any) -> list[Definition] | None:
    """A list, or a map from names; None where one of them defines no tool."""
    value = parse(sent)
    if isinstance(value, Mapping):
        declared = first(value, "function_tools", *_DECLARED)
        named = all(isinstance(each, Mapping) for each in value.values())
        value = declared if declared else _by_name(value) if named and "function" not in value else [value]
    if not isinstance(value, list) or not value:
        return None
    found: list[Definition] = []
    for each in value:
        read = _definitions(each)
        if not read:
            return None
        found += read
    return found


def among_messages(sent: Any) -> list[Any] | None:
    """The definitions that stand in a list of messages; None where there are none."""
    value = parse(sent)
    if not isinstance(value, list):
        return None
    return [each["content"] for each in value if isinstance(each, Mapping) and is_definition(each)] or None


def flattened(sent: Any) -> list[Definition] | None:
    """`llm.tools.N.tool.json_schema` and `llm.request.functions.N.*`: the children of a node with numbers."""
    found = []
    for _, node in numbered(sent):
        held = mapping(node)
        tool = mapping(held.get("tool")) or held
        found.append(
            first(tool, "json_schema") if set(tool) & {"json_schema"} and "name" not in tool else tool
        )
    return definitions(found)


def _by_name(value: Mapping[str, Any]) -> list[Any]:
    return [{"name": name, **tool} for name, tool in value.items()]


def _definitions(sent: Any) -> list[Definition] | None:
    value = parse(sent)
    if value is UNREADABLE or not isinstance(value, Mapping):
        return None
    declared = parse(first(value, *_DECLARED))
    if isinstance(declared, list):
        return definitions(declared)
    nested = next(
        (value[key] for key in ("function", "toolSpec", "custom") if isinstance(value.get(key), Mapping)),
        None,
    )
    held = value if nested is None else nested
    kind, name = value.get("type"), first(held, "name")
    if not isinstance(name, str):
        return _provided(value)
    if nested is None and isinstance(kind, str) and not set(value) & {*_PARAMETERS} - {"parameters"}:
        return [{**value, **({"parameters": readable(value["parameters"])} if "parameters" in value else {})}]
    made: Definition = {
        "type": kind if isinstance(kind, str) and kind != "custom" else "function",
        "name": name,
    }
    if isinstance(held.get("description"), str):
        made["description"] = held["description"]
    parameters = readable(first(held, *_PARAMETERS))
    if isinstance(parameters, Mapping):  # Bedrock and Vercel wrap the schema once more
        parameters = next(
            (parameters[key] for key in ("json", "jsonSchema") if key in parameters), parameters
        )
    return [made if parameters is None else {**made, "parameters": parameters}]


def _provided(value: Mapping[str, Any]) -> list[Definition] | None:
    """A tool that the provider runs: only a type, or with Gemini only a key."""
    if isinstance(value.get("type"), str) and value["type"] != "function":
        return [dict(value)]
    keys = [key for key, held in value.items() if isinstance(held, Mapping)]
    return [{"type": keys[0], "name": keys[0], **value[keys[0]]}] if len(value) == len(keys) == 1 else None
