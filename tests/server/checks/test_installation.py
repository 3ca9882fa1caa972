"""server.checks.installation: the packages that are installed beside those that are required."""

from __future__ import annotations

from importlib.metadata import version

from spanledger.server.checks import installation
from spanledger.server.checks.finding import worst
from spanledger.server.checks.installation import check_installation


def test_what_runs_these_tests_is_complete_and_named_with_its_versions():
    python, packages = check_installation()
    assert worst([python, packages]) == "ok"
    assert python.found.startswith("Python 3.")
    assert f"chdb {version('chdb')}" in packages.found


def test_a_package_that_does_not_fit_or_is_missing_is_a_problem(monkeypatch):
    required = [
        "grpcio<1 ; extra == 'server'",
        "pytest<1 ; extra == 'dev'",
        "no-such-package-here",
        "rich>=1",
    ]
    monkeypatch.setattr(installation, "requires", lambda _: required)
    found = [(each.level, each.found) for each in check_installation() if each.check == "packages"]
    assert found == [
        ("problem", f"grpcio is {version('grpcio')}; spanledger needs grpcio<1"),
        ("problem", "no-such-package-here is not installed; spanledger needs no-such-package-here"),
    ]


def test_an_old_python_is_a_problem(monkeypatch):
    monkeypatch.setattr(installation, "_OLDEST_PYTHON", (99, 0))
    assert check_installation()[0].level == "problem"
