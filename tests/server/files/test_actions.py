"""`spanledger export` and `spanledger import`: files through a real API, and what is said of broken ones."""

from __future__ import annotations

import json

import pytest
from ledger_rows import stored_rows
from otlp_logs import logs_request, record
from otlp_requests import request, span

from spanledger.server.cli import main


@pytest.fixture
def run(capsys):
    """Run a command; its exit code and what it prints."""

    def run(*words: object) -> tuple[int, str]:
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return code, " ".join((shown.out + shown.err).split())

    return run


@pytest.fixture
def full(ingest, ingest_logs):
    """Spans and a log record."""
    ingest(request(*(span(name=f"n{n}") for n in range(20))))
    ingest_logs(logs_request(record()))


@pytest.mark.parametrize("name", ["all.jsonl", "all.parquet"])
@pytest.mark.usefixtures("full")
def test_what_is_exported_is_imported_into_another_ledger(serving, run, reader, project, tmp_path, name):  # noqa: PLR0917
    file = tmp_path / name
    code, said = run("export", file, "--api", serving())
    assert code == 0, said
    beside = file.with_name(f"all.logs{file.suffix}")
    assert sorted(tmp_path.iterdir()) == sorted([file, beside])
    assert "20 rows" in said
    copy = f"{project}-copy"
    code, said = run("import", file, beside, "--api", serving(project=copy))
    assert code == 0, said
    assert "20 rows of spans are stored" in said
    assert "1 rows of logs are stored" in said
    first, second = (stored_rows(reader, each, "spans") for each in (project, copy))
    assert len(first) == 20
    assert {key: row | {"project": b""} for key, row in first.items()} == {
        key: row | {"project": b""} for key, row in second.items()
    }


def test_files_that_are_there_are_kept_unless_that_is_said(serving, run, tmp_path, ingest):
    ingest(request(span()))
    url, file = serving(), tmp_path / "all.jsonl"
    file.write_text("mine")
    code, said = run("export", file, "--api", url)
    assert (code, file.read_text()) == (2, "mine")
    assert "is there already" in said
    assert run("export", file, "--api", url, "--force")[0] == 0
    assert json.loads(file.read_text().splitlines()[-1]) == {"spanledger_end": {"rows": 1}}


def test_otlp_and_a_time_without_spans(serving, run, tmp_path, ingest):
    ingest(request(span(name="as sent")))
    url, file = serving(), tmp_path / "all.jsonl"
    assert run("export", file, "--api", url, "--format", "otlp")[0] == 0
    assert "as sent" in file.read_text()
    assert run("export", file, "--api", url, "--force", "--end", "2020-01-01T00:00:00Z")[0] == 0
    assert len(file.read_text().splitlines()) == 2
    code, said = run("export", file, "--api", url, "--force", "--end", "soon")
    assert code == 2
    assert "an RFC 3339 time" in said


def test_a_file_that_was_cut_off_is_refused_before_anything_is_sent(run, tmp_path):
    url = "http://127.0.0.1:9"  # nobody answers there
    cut = tmp_path / "cut.jsonl"
    cut.write_text('{"spanledger_export":{}}\n{"name":"a"}\n{"na')
    assert "was cut off" in run("import", cut, "--api", url)[1]
    parquet = tmp_path / "cut.parquet"
    parquet.write_bytes(b"PAR1 and no end")
    assert "was cut off" in run("import", parquet, "--api", url)[1]
    code, said = run("import", tmp_path / "none", "--api", url)
    assert code == 2
    assert "there is no file" in said
