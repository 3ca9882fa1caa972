"""Analysis: what a query means, by the engine's own word, before it runs.

Nothing here reads SQL by itself. The engine's parser gives the one statement that a text is (`formatQuery`,
which takes the text as a value); its syntax tree tells what is in it (`EXPLAIN AST`, which runs nothing); its
analyser tells which tables the names mean (`EXPLAIN QUERY TREE`). Whatever is not known to be harmless is
refused. What runs is the text that was looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.query_api.sql.functions import TABLE_FUNCTIONS, is_allowed
from spanledger.query_api.sql.views import VIEWS
from spanledger.schemas.errors import BadData

ONE_SELECT = "one SELECT over " + ", ".join(view.name for view in VIEWS)

_SYNTAX_ERROR = 62
# What the syntax tree of a SELECT is made of. Not here: settings, and functions that a list of columns is put
# through by name (APPLY), which the tree does not show.
_NODES = frozenset(
    [
        "ArrayJoin",
        "Asterisk",
        "ColumnsExceptTransformer",
        "ColumnsListMatcher",
        "ColumnsRegexpMatcher",
        "ColumnsReplaceTransformer",
        "ColumnsReplaceTransformer::Replacement",
        "ColumnsTransformerList",
        "ExpressionList",
        "Function",
        "Identifier",
        "InterpolateElement",
        "Literal",
        "OrderByElement",
        "QualifiedAsterisk",
        "QualifiedColumnsListMatcher",
        "QualifiedColumnsRegexpMatcher",
        "SampleRatio",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "SelectWithUnionQuery",
        "Subquery",
        "TableExpression",
        "TableIdentifier",
        "TableJoin",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "WindowDefinition",
        "WindowListElement",
        "WithElement",
    ]
)
_IN_WORDS = {
    "Set": "SETTINGS",
    "ColumnsApplyTransformer": "APPLY",
}
_NODE = re.compile(
    r"\s*(?P<kind>[\w:]+)(?: (?P<name>.*?))?(?: \(alias .*)?(?: \(children \d+\))?$", re.DOTALL
)
_TABLE = re.compile(r"\btable_name: ([^,\s]+)")
_TABLE_FUNCTION = re.compile(r"\btable_function_name: ([^,\s]+)")
_FUNCTION = re.compile(r"\bfunction_name: ([^,\s]+)")
# Columns that every table has beside its own.
_OF_THE_ENGINE = frozenset({"_table", "_database"})
# What a SELECT without FROM reads: one row.
_NO_TABLE = "system.one"
_IN = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?", flags=re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:([^{}]*)\}")
_INTEGER = re.compile(r"(?:Nullable\(|Array\()*(?P<type>(?P<unsigned>U?)Int(?P<bits>8|16|32|64|128|256))\)*")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", flags=re.ASCII)


class Checked(NamedTuple):
    """A query that may run, as the engine writes it, and the columns of its result: name and type."""

    text: str
    parameters: dict[str, Any]
    columns: list[tuple[str, str]]


def checked(client: Client, query: str, parameters: Mapping[str, Any]) -> Checked:
    """The query, where it is one SELECT that reads views and calls what it may; else raises BadData.

    Errors of the engine are raised as they come. The client must be one of connect_for_sql: to know what a
    name means the engine may have to read.
    """
    text = one_statement(client, query)
    given = bound(text, parameters)
    _check_syntax(client, text, given)
    _check_meaning(client, text, given)
    described = client.query(f"DESCRIBE TABLE (\n{text}\n)", parameters=given)
    return Checked(text, given, [(str(row[0]), str(row[1])) for row in described.result_rows])


def one_statement(client: Client, query: str) -> str:
    """The one statement that a text is, as the engine writes it: without comments, in one form."""
    if "\0" in query:
        raise BadData("The query has a character that SQL does not: NUL")
    if not query.strip():
        raise BadData(f"query: it is empty; allowed: {ONE_SELECT}")
    return str(
        client.query("SELECT formatQuery({query:String})", parameters={"query": query}).result_rows[0][0]
    )


def bound(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the client takes them; BadData names those that the query has no place for."""
    places = dict(_PLACEHOLDER.findall(text))
    for name, value in parameters.items():
        if not _NAME.fullmatch(name):
            raise BadData(f"parameters: {name[:100]!r} is no name; allowed: letters, digits and _")
        if name not in places:
            there = ", ".join(sorted(places)) or "none"
            raise BadData(f"parameters: the query has no {{{name}:Type}}; it has: {there}")
        _check_integers(name, places[name], value)
    return dict(parameters)


def _check_integers(name: str, kind: str, value: Any) -> None:
    """Refuse an integer that its type does not hold: the engine would take what is left of it."""
    found = _INTEGER.fullmatch(kind.strip())
    if found is None:
        return
    bits = int(found["bits"])
    least, most = (0, (1 << bits) - 1) if found["unsigned"] else (-(1 << bits - 1), (1 << bits - 1) - 1)
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, list):
            todo.extend(one)
        elif isinstance(one, str) and re.fullmatch(r"[+-]?[0-9]{1,100}", one):
            todo.append(int(one))
        elif isinstance(one, int) and not least <= one <= most:
            raise BadData(f"parameters: {name} is {one}; {found['type']} holds {least} to {most}")


def _check_syntax(client: Client, text: str, parameters: Mapping[str, Any]) -> None:
    # In brackets: what may stand behind a whole statement only (INTO OUTFILE, FORMAT) cannot stand there.
    try:
        tree = _told(client, f"EXPLAIN AST SELECT * FROM (\n{text}\n)", parameters)  # noqa: S608
    except ClickHouseError as error:
        if getattr(error, "code", None) != _SYNTAX_ERROR:
            raise
        raise BadData(
            f"query: allowed is {ONE_SELECT}, without INTO OUTFILE, FORMAT (the request says `format`) and "
            "the like"
        ) from None
    if not tree.startswith("SelectWithUnionQuery"):
        raise AssertionError(f"the engine tells syntax in another form: {tree[:100]}")
    nodes = [_node(line) for line in tree.split("\n") if line.strip()]
    for place, node in enumerate(nodes):
        if node.kind not in _NODES:
            raise BadData(f"query: {_IN_WORDS.get(node.kind, node.kind)} is not taken; allowed: {ONE_SELECT}")
        if node.kind == "Function":
            _check_function(node.name)
            if _IN.fullmatch(node.name):
                _check_table(_searched(nodes, place))
        elif node.kind == "Identifier" and node.name.rpartition(".")[2] in _OF_THE_ENGINE:
            raise BadData(f"query: {node.name} is no column of a view")
        elif node.kind == "TableIdentifier":
            _check_table(node)


def _check_table(node: _Node) -> None:
    if node.kind in ("Identifier", "TableIdentifier") and "." in node.name:
        raise BadData(f"query: {node.name} cannot be read; allowed: {ONE_SELECT}")


class _Node(NamedTuple):
    depth: int
    kind: str
    name: str


def _node(line: str) -> _Node:
    found = _NODE.match(line)
    depth = len(line) - len(line.lstrip())
    return _Node(depth, found["kind"], found["name"] or "") if found else _Node(depth, line.strip(), "")


def _searched(nodes: Sequence[_Node], place: int) -> _Node:
    """What an IN at this place looks in: the second of its arguments, which may be the name of a table."""
    below = nodes[place].depth + 2
    arguments = []
    for node in nodes[place + 1 :]:
        if node.depth <= nodes[place].depth:
            break
        if node.depth == below:
            arguments.append(node)
    return arguments[1] if len(arguments) > 1 else nodes[place]


def _check_function(name: str) -> None:
    if not is_allowed(name) and name.lower() not in TABLE_FUNCTIONS | {"sqlstandardvalues"}:
        raise BadData(
            f"query: the function {name} is not allowed: SQL may call what computes from its arguments alone"
        )


def _check_meaning(client: Client, text: str, parameters: Mapping[str, Any]) -> None:
    own = f"{client.database}."
    allowed = {f"{own}{view.name}" for view in VIEWS} | {_NO_TABLE}
    # Wherever such words stand they are looked at: a name or a text of the caller's may be what is found, and
    # can hide nothing.
    tree = _told(client, f"EXPLAIN QUERY TREE passes = 1 {text}", parameters)
    if not tree.startswith(("QUERY id: ", "UNION id: ")):
        raise AssertionError(f"the engine tells a query in another form: {tree[:100]}")
    for name in _TABLE.findall(tree):
        if name not in allowed:
            raise BadData(f"query: {name.removeprefix(own)} cannot be read; allowed: {ONE_SELECT}")
    for name in _TABLE_FUNCTION.findall(tree):
        if name.lower() not in TABLE_FUNCTIONS:
            raise BadData(f"query: the table function {name} is not allowed")
    for name in _FUNCTION.findall(tree):
        _check_function(name)


def _told(client: Client, statement: str, parameters: Mapping[str, Any]) -> str:
    """The text that answers a statement, which the client must not look at: it takes LIMIT 0 for its own."""
    return client.raw_query(statement, parameters=dict(parameters) or None, fmt="TSVRaw").decode()
