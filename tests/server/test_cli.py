"""server.cli and server.commands: what a person at a terminal sees."""

from __future__ import annotations

import subprocess
import sys

import pytest
from processes import clean_environment, running_ledger

from spanledger.schemas.settings import Settings
from spanledger.server.cli import main


def test_without_a_command_the_commands_are_listed(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    for command in ("run", "serve", "doctor", "settings", "demo", "traces", "tree", "stub-provider"):
        assert command in shown


def test_every_setting_is_listed_with_its_meaning(capsys):
    assert main(["settings"]) == 0
    shown = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        assert f"SPANLEDGER_{name.upper()}=" in shown
        assert field.description
        assert field.description in shown


def test_every_setting_is_a_flag_of_serve(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["serve", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for name in Settings.model_fields:
        assert "--" + name.replace("_", "-") in shown


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grpc-listen", "4317"], "SPANLEDGER_GRPC_LISTEN='4317': '4317' is not host:port"),
        (["--batch-spans", "none"], "SPANLEDGER_BATCH_SPANS='none': Input should be a valid integer"),
        (
            ["--store-timeout-s", "20"],
            "SPANLEDGER_STORE_TIMEOUT_S='20': Input should be less than or equal to 9",
        ),
        (["--database", "mysql://x"], "the scheme must be chdb, clickhouse or clickhouses"),
        (["--api-listen", "0.0.0.0:8000"], "beyond loopback: set SPANLEDGER_API_KEY"),
        (["--only", "api"], "--only api needs a ClickHouse server"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_server_that_is_not_there_is_one_line(capsys):
    assert main(["traces", "--api", "http://127.0.0.1:9"]) == 2
    assert "is `spanledger serve` running?" in capsys.readouterr().err


@pytest.mark.slow
def test_an_unknown_trace_and_an_address_in_use_are_one_line_each(tmp_path, capsys):
    with running_ledger(tmp_path, f"chdb://{tmp_path / 'database'}") as ledger:
        api = f"http://127.0.0.1:{ledger.ports['api']}"
        assert main(["tree", "0" * 31 + "1", "--api", api]) == 2
        assert "spanledger tree:" in capsys.readouterr().err
        assert main(["traces", "--api", api]) == 0
        taken = [sys.executable, "-m", "spanledger.server.cli", "serve"]
        taken += ["--database", f"chdb://{tmp_path / 'other'}", "--api-listen", "127.0.0.1:0"]
        taken += ["--grpc-listen", f"127.0.0.1:{ledger.ports['grpc']}"]
        finished = subprocess.run(
            taken, check=False, capture_output=True, text=True, timeout=60, env=clean_environment()
        )
    assert finished.returncode == 2
    assert "cannot listen there (in use?)" in finished.stderr
