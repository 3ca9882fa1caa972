"""docs/fault-cases.md names every case and every test of it, and no other."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "fault-cases.md"
CASES = [*range(1, 51)]


def rows() -> dict[int, list[str]]:
    """The tests that the page names, by case."""
    lines = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if re.match(r"\| \d", line)]
    assert all(len(cells) == 4 and all(cell.strip() for cell in cells) for cells in lines)
    numbers = [int(cells[0]) for cells in lines]
    assert numbers == sorted(set(numbers))
    return {int(cells[0]): re.findall(r"`([\w/]+\.py::\w+)`", cells[3]) for cells in lines}


def functions(path: Path) -> list[str]:
    parsed = ast.parse(path.read_text())
    return [
        node.name
        for node in parsed.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_case_is_there_with_a_test():
    found = rows()
    assert list(found) == CASES
    assert all(found.values())


def test_every_test_that_is_named_exists():
    for number, named in rows().items():
        for name in named:
            path, _, function = name.partition("::")
            assert function in functions(TESTS / path), f"case {number}: {name}"


def test_every_test_of_a_case_is_named_in_its_row_and_in_no_other():
    existing = defaultdict(list)
    for path in sorted(TESTS.glob("cases/test_*.py")):
        for name in functions(path):
            if found := re.match(r"test_case_(\d\d)_", name):
                existing[int(found.group(1))].append(f"cases/{path.name}::{name}")
    assert len(existing) > 30
    named = {
        number: [name for name in names if name.startswith("cases/")] for number, names in rows().items()
    }
    assert {number: sorted(names) for number, names in named.items() if names} == {
        number: sorted(names) for number, names in existing.items()
    }
