"""SQL as text: quoting, lists, and SELECTs in stages. For SQL made from our own tables, never from input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def listed(values: Iterable[object]) -> str:
    return "[" + ", ".join(quoted(v) if isinstance(v, str) else str(v) for v in values) + "]"


def mapped(expression: str, mapping: Mapping[str, str | int], default: str) -> str:
    return f"transform({expression}, {listed(mapping)}, {listed(mapping.values())}, {default})"


def select_list(columns: Mapping[str, str]) -> str:
    """Columns by name and expression; one whose expression is its own name is passed on."""
    return ",\n    ".join(
        f"`{name}`" if expression == name else f"{expression} AS `{name}`"
        for name, expression in columns.items()
    )


def member(path: str) -> str:
    """`a.b.c` as tupleElement calls: dotted, the analyser would look through all of a's subcolumns first."""
    column, *names = path.split(".")
    for name in names:
        column = f"tupleElement({column}, {quoted(name)})"
    return column


def staged(query: str, *stages: Mapping[str, str]) -> str:
    """Each stage adds columns to those of the one before it."""
    for stage in stages:
        query = f"SELECT *,\n    {select_list(stage)}\nFROM\n({query})"
    return query
