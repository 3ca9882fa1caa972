"""Match clauses: what genai-prices says of the names of models and providers, evaluated as it does.

A clause is a JSON object with one key: `equals`, `starts_with`, `ends_with`, `contains`, `regex` (a text), or
`and`, `or` (a list of clauses). All but `regex` ignore case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from spanledger.schemas.errors import BadData

KINDS = ("equals", "starts_with", "ends_with", "contains", "regex")
_ALLOWED = ", ".join((*KINDS, "and", "or"))

Clause = dict[str, Any]
Matches = Callable[[str], bool]


def check_clause(clause: Any, where: str) -> Clause:
    """The clause itself; BadData, which says where, unless it is one."""
    if not isinstance(clause, dict) or len(clause) != 1:
        raise BadData(f"{where}: a clause is an object with one of the keys {_ALLOWED}, not {_short(clause)}")
    [(kind, value)] = clause.items()
    if kind in ("and", "or"):
        if not isinstance(value, list) or not value:
            raise BadData(f"{where}: {kind} needs a list of clauses, not {_short(value)}")
        for number, part in enumerate(value):
            check_clause(part, f"{where}.{kind}[{number}]")
    elif kind not in KINDS:
        raise BadData(f"{where}: there is no clause {kind!r}; allowed are {_ALLOWED}")
    elif not isinstance(value, str):
        raise BadData(f"{where}: {kind} needs a text, not {_short(value)}")
    elif kind == "regex":
        try:
            re.compile(value)
        except (re.error, RecursionError) as error:
            raise BadData(f"{where}: {value!r} is not a regular expression ({error})") from None
    return clause


def matcher(clause: Clause) -> Matches:
    """Whether a text, in lower case, matches."""
    [(kind, value)] = clause.items()
    match kind:
        case "and":
            parts = [matcher(part) for part in value]
            return lambda text: all(part(text) for part in parts)
        case "or":
            parts = [matcher(part) for part in value]
            return lambda text: any(part(text) for part in parts)
        case "regex":
            search = re.compile(value).search
            return lambda text: search(text) is not None
    wanted = value.lower()
    plain: dict[str, Matches] = {
        "equals": lambda text: text == wanted,
        "starts_with": lambda text: text.startswith(wanted),
        "ends_with": lambda text: text.endswith(wanted),
        "contains": lambda text: wanted in text,
    }
    return plain[kind]


def alternatives(clause: Clause) -> Iterator[Clause]:
    """The clauses of which one must match."""
    [(kind, value)] = clause.items()
    if kind == "or":
        for part in value:
            yield from alternatives(part)
    else:
        yield clause


def told(clause: Clause) -> str:
    """A clause in words, for people: `starts_with gpt-4 and contains audio`."""
    [(kind, value)] = clause.items()
    if kind in ("and", "or"):
        return f" {kind} ".join(
            told(part) if next(iter(part)) in KINDS else f"({told(part)})" for part in value
        )
    return f"{kind} {value}"


def read_clause(text: str) -> Clause:
    """A clause as it stands in the tables."""
    clause: Clause = json.loads(text)
    return clause


def write_clause(clause: Clause | None) -> str:
    """A clause as text for the tables; empty where there is none."""
    return "" if clause is None else json.dumps(clause, ensure_ascii=False)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
