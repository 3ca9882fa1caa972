"""Fields: which groups of them the spans of a tree are given with."""

from __future__ import annotations

# By name what belongs to it, as the documentation says it. What stands in no group is always given.
GROUPS = {
    "call": "provider, model, usage, cost, tags and what else is known of a call",
    "content": "input, output, system_instructions and tool_definitions, and the attributes, log records and "
    "attributes of events that prompts and answers are sent in",
    "attributes": "attributes and attributes_cut",
    "resource": "resource",
    "scope": "scope",
    "events": "events; without content they have no attributes",
    "links": "links",
    "otlp": "trace_state, flags and the counts of what senders dropped",
}
# Attributes of events are content, and read with it only.
EVERYTHING = frozenset({*GROUPS, "event attributes"})
FIELDS_FORM = (
    f"names of groups with commas between them, or names with a minus in front, which are left out: "
    f"{', '.join(GROUPS)}"
)


def chosen_groups(text: str) -> frozenset[str]:
    """`call,attributes` is these and what is always given, `-content` is everything but that.

    Raises ValueError naming what is wrong.
    """
    names = [name.strip() for name in text.split(",")]
    left_out = {name[1:] for name in names if name.startswith("-")}
    chosen = {name for name in names if not name.startswith("-")}
    unknown = sorted((left_out | chosen) - GROUPS.keys())
    if unknown:
        raise ValueError(f"no such group: {', '.join(map(repr, unknown))}")
    if left_out and chosen:
        raise ValueError("some names have a minus and some have none")
    groups = GROUPS.keys() - left_out if left_out else chosen
    return frozenset(groups | ({"event attributes"} if {"content", "events"} <= groups else set()))
