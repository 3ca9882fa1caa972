"""docs/instrumentation/failure-cases.md names every case with tests that exist, and every test of a case."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "instrumentation" / "failure-cases.md"


def rows() -> dict[int, list[str]]:
    """The tests that the page names, by case."""
    lines = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if re.match(r"\| \d", line)]
    assert all(len(cells) == 4 and all(cell.strip() for cell in cells) for cells in lines)
    return {int(cells[0]): re.findall(r"`([\w/]+\.py::\w+)`", cells[3]) for cells in lines}


def functions(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)}


def test_every_case_has_a_test_that_exists():
    found = rows()
    assert list(found) == list(range(1, 36))
    for number, named in found.items():
        assert named, number
        for name in named:
            path, _, function = name.partition("::")
            assert function in functions(TESTS / path), f"case {number}: {name}"


def test_every_test_that_names_a_case_stands_in_its_row():
    found = rows()
    for path in sorted((TESTS / "instrumentation").rglob("test_*.py")):
        for name in functions(path):
            for numbers in re.findall(r"case_(\d+)", name):
                assert f"{path.relative_to(TESTS)}::{name}" in found[int(numbers)], name
