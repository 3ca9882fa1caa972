"""The documentation, held to the code: what it names exists, and what exists is named."""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from spanledger.collector.metrics import Metrics
from spanledger.instrumentation import content, options, setup, threads
from spanledger.query_api.app import create_app
from spanledger.query_api.messages import sources
from spanledger.schemas.database import parse_target
from spanledger.schemas.settings import Settings
from spanledger.server import run
from spanledger.server.cli import build_parser
from spanledger.server.commands import add_settings
from spanledger.server.serve import registry_of_the_process

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
ADRS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SETTINGS = {f"SPANLEDGER_{name.upper()}": field for name, field in Settings.model_fields.items()}
INSTRUMENTATION = {
    *(setup.ENDPOINT, setup.HEADERS, content.OWN_SWITCH, content.LIMIT),
    *(options.INCLUDE_USAGE, options.PROPAGATE, threads.THREADS),
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A command may have variables in front.
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*spanledger ([a-z-].*)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def rows(text: str) -> list[list[str]]:
    """The cells of every row of a page's tables."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def section(page: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}.*?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"no section {heading}"
    return found.group(1)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def code(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


def commands(page: Path) -> list[list[str]]:
    """The words behind `spanledger` wherever a page names it as a command, in code only."""
    text = page.read_text()
    places = [*code(page, "console", "sh", "bash"), *re.findall(r"`(spanledger [^`]+)`", text)]
    lines = [line for place in places for line in place.splitlines()]
    return [found.group(1).split() for line in lines if (found := COMMAND.match(line))]


def parsers() -> dict[str, argparse.ArgumentParser]:
    parser, with_settings = build_parser()
    for command in with_settings:
        add_settings(command)
    (choices,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    return choices


@every_page
def test_relative_links_resolve(page):
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@every_page
def test_commands_exist_with_their_flags(page):
    known = parsers()
    for command, *words in commands(page):
        assert command in known, command
        if command == "run":
            continue  # what follows is another program's; its own flags are checked below
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= known_flags(known[command], words), (command, flags)


def known_flags(parser: argparse.ArgumentParser, words: list[str]) -> set[str]:
    """The flags of a command, and of the one below it that the next word names."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action.choices, dict) and words:
            found |= known_flags(action.choices[words[0]], words[1:])
    return found


@every_page
def test_flags_of_run_exist(page):
    known = set(run._parser()._option_string_actions)
    for command, *words in commands(page):
        if command == "run":
            ours, _ = run._split([word for word in words if word != "\\"])
            assert {word for word in ours if word.startswith("--")} <= known, words


@every_page
def test_variables_are_settings_or_read_by_the_instrumentation(page):
    named = set(re.findall(r"\bSPANLEDGER_[A-Z0-9_]*[A-Z0-9]\b", page.read_text()))
    assert named <= set(SETTINGS) | INSTRUMENTATION


@every_page
def test_python_examples_run_as_far_as_their_imports(page):
    for example in code(page, "python"):
        tree = ast.parse(example)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


@every_page
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    places = [*code(page, "console", "sh", "bash"), *re.findall(r"`(make [^`]+)`", text)]
    named = {name for place in places for name in re.findall(r"^make ([a-z-]+)", place, re.MULTILINE)}
    assert named <= targets


@every_page
def test_prose_is_finished_and_names_no_machine(page):
    text = page.read_text()
    assert not re.search(r"\b(TODO|FIXME|TBD|XXX)\b", text)
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp)/", text)
    assert not re.search(r"https?://[^ )]*(pypi|npm|debian)", text)


def test_the_readme_tells_the_two_commands_and_the_api():
    readme = (ROOT / "README.md").read_text()
    assert "make demo\nmake test\n" in readme
    pages = [ROOT / "docs" / f"{name}.md" for name in ("prices", "analytics", "sessions")]
    told = section(readme, "API") + "".join(section(page.read_text(), "API") for page in pages)
    routes = set(re.findall(r"`(?:GET|POST|PUT|DELETE) (/[^`?]*)`", told))
    assert routes == documented_routes()


def documented_routes() -> set[str]:
    """What the API has, from its own document, and the pages that FastAPI adds."""
    api = create_app(parse_target("chdb://unused"), Settings(), CollectorRegistry())
    return set(api.openapi()["paths"]) | {api.docs_url, api.openapi_url}


def test_the_readme_tells_right_defaults():
    told = {
        cells[0].strip("`"): cells[1] for cells in rows(section((ROOT / "README.md").read_text(), "Settings"))
    }
    told = {name: default for name, default in told.items() if name.startswith("SPANLEDGER_")}
    assert told
    for name, default in told.items():
        real = SETTINGS[name].default
        assert default == ("none" if real is None else f"`{real}`"), name


def test_every_setting_is_documented_as_it_is():
    page = (ROOT / "docs" / "settings.md").read_text()
    table = [cells for cells in rows(section(page, "Server")) if cells[0].startswith("`SPANLEDGER_")]
    assert [cells[0].strip("`") for cells in table] == list(SETTINGS)
    for name, default, meaning in table:
        field = SETTINGS[name.strip("`")]
        assert default == shown(field.default), name
        assert meaning == field.description, name


def shown(default: Any) -> str:
    if default is None:
        return "empty"
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


def test_every_metric_is_documented_as_it_is():
    """All that a process with every part registers: its name as it is scraped, type, labels and help."""
    registry = registry_of_the_process()
    Metrics(registry)
    create_app(parse_target("chdb://unused"), Settings(), registry)
    real = {}
    for collector in registry._collector_to_names:
        for family in collector.collect():
            name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
            labels = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
            if family.type == "info":
                labels = tuple(family.samples[0].labels)
            kind = "gauge" if family.type == "info" else family.type
            real[name] = (kind, ", ".join(labels), family.documentation)
    page = (ROOT / "docs" / "metrics.md").read_text()
    table = [cells for cells in rows(page) if cells[0].startswith(("`spanledger_", "`process_"))]
    assert {name.strip("`"): tuple(more) for name, *more in table} == real
    assert len(table) == len(real)
    named = {name.removesuffix("_bucket") for name in re.findall(r"\bspanledger_[a-z_]+", page)}
    assert named <= set(real)


def test_every_variable_of_the_instrumentation_is_documented():
    page = section((ROOT / "docs" / "settings.md").read_text(), "Instrumentation")
    told = {cells[0].strip("`") for cells in rows(page) if cells[0].startswith("`SPANLEDGER_")}
    assert told == INSTRUMENTATION
    for name in (*setup_variables(), content.OTEL_SWITCH):
        assert f"`{name}`" in page, name


def setup_variables() -> set[str]:
    """The OTEL_* variables that the instrumentation and `spanledger run` read themselves."""
    files = [*(ROOT / "instrumentation").rglob("*.py"), ROOT / "server" / "run.py"]
    return {name for file in files for name in re.findall(r'"(OTEL_[A-Z_]+)"', file.read_text())}


@pytest.mark.parametrize(
    ("heading", "required"),
    [
        ("Base", PROJECT["dependencies"]),
        ("Server", PROJECT["optional-dependencies"]["server"]),
        ("Development", PROJECT["optional-dependencies"]["dev"]),
        ("Tests of LiteLLM", PROJECT["optional-dependencies"]["dev-litellm"]),
    ],
)
def test_every_dependency_is_documented_once_with_a_reason(heading, required):
    names = {re.match(r"[A-Za-z0-9._-]+", requirement).group() for requirement in required}
    names.discard(PROJECT["name"])
    page = (ROOT / "docs" / "dependencies.md").read_text()
    table = [cells for cells in rows(section(page, heading)) if cells[0] not in ("package", "---")]
    assert [cells[0] for cells in table] == sorted(names, key=str.lower)
    assert all(len(reason) > 20 for _, reason in table)


def test_the_groups_of_dependencies_are_the_documented_ones():
    assert set(PROJECT["optional-dependencies"]) == {"server", "dev", "dev-litellm"}


@pytest.mark.parametrize(
    ("heading", "section_of"),
    [
        ("Input", sources.INPUT),
        ("Output", sources.OUTPUT),
        ("System instructions", sources.SYSTEM_INSTRUCTIONS),
        ("Tool definitions", sources.TOOL_DEFINITIONS),
    ],
)
def test_sources_of_messages_are_the_documented_ones_in_their_order(heading, section_of):
    page = (ROOT / "docs" / "messages.md").read_text()
    (found,) = re.findall(rf"^### {heading}\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    named = [cells[0].strip("`") for cells in rows(found) if cells[0] not in ("from", "---")]
    assert named == [source.name for source in section_of]


def test_sources_of_the_runs_of_tools_are_the_documented_ones_in_their_order():
    table = rows((ROOT / "docs" / "messages.md").read_text())
    named = {cells[0]: tuple(re.findall(r"`([^`]+)`", cells[1])) for cells in table}
    assert named["arguments"] == sources.TOOL_ARGUMENTS
    assert named["result"] == sources.TOOL_RESULT


def test_decisions_are_numbered_without_gaps_and_in_the_index():
    assert [adr.name[:4] for adr in ADRS] == [f"{n:04}" for n in range(1, len(ADRS) + 1)]
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [link for link in LINK.findall(index) if link.endswith(".md")] == [adr.name for adr in ADRS]


@pytest.mark.parametrize("adr", ADRS, ids=[adr.stem for adr in ADRS])
def test_a_decision_has_its_four_parts(adr):
    text = adr.read_text()
    assert text.startswith(f"# {adr.name[:4]} ")
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads == ["Context", "Decision", "Consequences", "Measurement"]


def test_the_changelog_has_this_version_and_what_comes():
    heads = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert PROJECT["version"] in heads
