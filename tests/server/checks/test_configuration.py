"""server.checks.configuration: misspelt settings, what is open to whom, and limits that do not fit."""

from __future__ import annotations

import os

import psutil
import pytest

from spanledger.schemas.settings import Settings
from spanledger.server.checks.configuration import check_exposure, check_limits, check_variables
from spanledger.server.checks.finding import worst

SECRET = "a-key-that-is-long-enough"


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch):
    for name in list(os.environ):
        if name.startswith("SPANLEDGER_"):
            monkeypatch.delenv(name)


def told(findings) -> str:
    return "\n".join(f"{each.level}: {each.found} → {each.advice}" for each in findings)


def test_the_settings_that_are_set_are_named_and_their_values_are_not(monkeypatch):
    monkeypatch.setenv("SPANLEDGER_API_KEY", SECRET)
    settings, findings = check_variables({"database": "clickhouse://u:secret@h/d"})
    assert settings.database == "clickhouse://u:secret@h/d"
    assert told(findings) == "ok: set: SPANLEDGER_DATABASE, SPANLEDGER_API_KEY → "


def test_without_any_setting_all_is_well():
    settings, findings = check_variables({})
    assert told(findings) == "ok: all at their defaults → "
    assert worst([*check_exposure(settings), *check_limits(settings)]) == "ok"


def test_every_misspelt_variable_is_a_problem_and_the_others_are_read(monkeypatch):
    monkeypatch.setenv("SPANLEDGER_API_KEYS", SECRET)
    monkeypatch.setenv("SPANLEDGER_NOTHING_LIKE_IT", SECRET)
    monkeypatch.setenv("SPANLEDGER_PROJECT", "mine")
    settings, findings = check_variables({})
    assert settings.project == "mine"
    assert "problem: SPANLEDGER_API_KEYS is not a setting → did you mean SPANLEDGER_API_KEY?" in told(
        findings
    )
    assert "problem: SPANLEDGER_NOTHING_LIKE_IT is not a setting → `spanledger settings`" in told(findings)
    assert SECRET not in told(findings)


@pytest.mark.parametrize("variable", ["SPANLEGER_API_KEY", "SPAN_LEDGER_API_KEY"])
def test_a_variable_whose_prefix_is_misspelt_is_a_warning(monkeypatch, variable):
    monkeypatch.setenv(variable, SECRET)
    _, findings = check_variables({})
    assert f"warning: {variable} means nothing here → did you mean SPANLEDGER_API_KEY?" in told(findings)


def test_variables_of_the_instrumentation_and_of_others_are_no_finding(monkeypatch):
    monkeypatch.setenv("SPANLEDGER_HEADERS", "authorization=Bearer%20x")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert told(check_variables({})[1]) == "ok: all at their defaults → "


def test_wrong_values_are_named_together_and_end_the_checks_of_settings():
    settings, findings = check_variables({"batch_spans": "many", "log_level": "loud"})
    assert settings is None
    assert "SPANLEDGER_BATCH_SPANS='many'" in told(findings)
    assert "SPANLEDGER_LOG_LEVEL='loud'" in told(findings)


@pytest.mark.parametrize(
    ("settings", "level", "found"),
    [
        ({}, "ok", "only programs on this machine"),
        ({"insecure": True}, "warning", "any web page may ask"),
        (
            {"api_listen": "0.0.0.0:1", "insecure": True},
            "warning",
            "anybody who reaches SPANLEDGER_API_LISTEN",
        ),
        ({"api_listen": "0.0.0.0:1", "api_key": SECRET}, "warning", "in plain text"),
        ({"api_listen": "0.0.0.0:1"}, "warning", "is 0.0.0.0:1, beyond loopback → a ledger without keys"),
        ({"api_listen": "0.0.0.0:1", "api_key": "short"}, "warning", "shorter than 16 characters"),
        ({"api_key": SECRET}, "ok", "set"),
        ({"api_key": "short"}, "ok", "shorter than 16 characters"),
    ],
)
def test_who_can_connect_is_told_with_what_stands_in_their_way(settings, level, found):
    findings = check_exposure(Settings(**settings))
    assert worst(findings) == level
    assert found in told(findings)
    assert SECRET not in told(findings)


@pytest.mark.parametrize(
    ("settings", "level", "found"),
    [
        (
            {"batch_bytes": 2048, "queue_bytes": 1024, "max_request_bytes": 1024},
            "warning",
            "BATCH_BYTES=2048",
        ),
        ({"queue_bytes": 33554432}, "warning", "SPANLEDGER_MAX_REQUEST_BYTES=67108864 is more than"),
        ({"queue_bytes": psutil.virtual_memory().total}, "warning", "half of this machine's memory"),
        ({"batch_wait_ms": 500, "store_timeout_s": 0.5}, "problem", "is given up before its insert"),
        ({"store_timeout_s": 8}, "warning", "leaves 2 s of the 10 s"),
        ({"shutdown_timeout_s": 6}, "warning", "an insert may take 5 s"),
        ({"grpc_listen": "[::1]:5", "api_listen": "[::1]:5"}, "problem", "are both [::1]:5"),
    ],
)
def test_limits_that_do_not_fit_are_named_with_what_to_set(settings, level, found):
    findings = check_limits(Settings(**settings))
    assert worst(findings) == level
    assert found in told(findings)
    assert all(finding.advice for finding in findings)


def test_two_addresses_with_any_free_port_are_not_the_same():
    assert worst(check_limits(Settings(grpc_listen="127.0.0.1:0", api_listen="127.0.0.1:0"))) == "ok"
