"""`spanledger export` and `spanledger import`: files through the query API, with progress bars.

A file has its name only when it is whole: until then it is called FILE.part.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from spanledger.schemas.errors import BadData, Busy
from spanledger.server.reading import Api, console

_BLOCK = 1 << 20
_END_LINE = 4096  # bytes: more than the last line of an export has
_PARQUET = b"PAR1"


def export_files(api: Api, chosen: argparse.Namespace) -> int:
    """Write spans into FILE, and log records, where there are any, into a file beside it."""
    file = Path(chosen.file)
    form = chosen.format or ("parquet" if file.suffix == ".parquet" else "jsonl")
    beside = file.with_name(f"{file.stem}.logs{file.suffix}")
    for there in (file, beside):
        if there.exists() and not chosen.force:
            raise BadData(f"{there} is there already: choose another name, or say --force")
    query = {"format": form, **{name: getattr(chosen, name) for name in ("start", "end")}}
    with _progress() as progress:
        for table, target in (("spans", file), ("logs", beside)):
            asked = {name: value for name, value in query.items() if value} | {"table": table}
            rows = _download(api, asked, target, progress)
            if rows == 0 and table == "logs":
                target.unlink()
                continue
            progress.console.print(f"{target}: {table}, {target.stat().st_size:,} bytes{_said(rows)}")
    return 0


def _told(file: Path, answer: Mapping[str, Any]) -> str:
    left_out = [
        f"{answer[name]:,} are not: {why}"
        for name, why in (
            ("deleted", "their traces were deleted"),
            ("expired", "they are older than what is kept"),
        )
        if answer[name]
    ]
    stored = answer["rows"] - answer["deleted"] - answer["expired"]
    return "; ".join([f"{file}: {stored:,} rows of {answer['table']} are stored", *left_out])


def _said(rows: int | None) -> str:
    return "" if rows is None else f", {rows:,} rows"


def _download(api: Api, query: dict[str, Any], target: Path, progress: Progress) -> int | None:
    """Write a file; how many rows it has, where it says so (0: an OTLP file without a line)."""
    part = target.with_name(f"{target.name}.part")
    task = progress.add_task(f"export {query['table']}", total=None)
    try:
        with api.download("/api/v1/export", **query) as answer, part.open("wb") as file:
            while block := answer.read1(_BLOCK):
                file.write(block)
                progress.advance(task, len(block))
    except (OSError, HTTPException) as error:
        raise Busy(f"the export broke off ({error}); what came is in {part}, and is not whole") from None
    rows = _rows_of(part, query["format"])
    os.replace(part, target)  # noqa: PTH105 - the name in one step, also over a file
    progress.update(task, total=target.stat().st_size)
    return rows


def _rows_of(file: Path, form: str) -> int | None:
    """How many rows a whole file says it has. BadData where it is not whole."""
    size = file.stat().st_size
    if form == "otlp":
        return None if size else 0
    with file.open("rb") as read:
        read.seek(max(0, size - _END_LINE))
        end = read.read()
    if form == "parquet":
        if not end.endswith(_PARQUET):
            raise BadData(f"{file} is no whole Parquet file: it was cut off")
        import pyarrow.parquet as pq

        return int(pq.read_metadata(file).num_rows)
    try:
        return int(json.loads(end.splitlines()[-1])["spanledger_end"]["rows"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise BadData(
            f"{file} does not end as an export does: it was cut off, or is none. Export again"
        ) from None


def import_files(api: Api, chosen: argparse.Namespace) -> int:
    """Store the rows of files, one after the other; none of them where one is not whole."""
    files = [Path(name) for name in chosen.files]
    forms = {}
    for file in files:
        if not file.is_file():
            raise BadData(f"there is no file {file}")
        forms[file] = _form_of(file)
        _rows_of(file, forms[file])
    with _progress() as progress:
        for file in files:
            size = file.stat().st_size
            task = progress.add_task(f"import {file.name}", total=size)
            with file.open("rb") as read:
                watched: Any = _Watched(read, progress, task)
                answer = api.upload("/api/v1/import", watched, size, format=forms[file])
            progress.console.print(_told(file, answer))
    return 0


def _form_of(file: Path) -> str:
    with file.open("rb") as read:
        return "parquet" if read.read(4) == _PARQUET else "jsonl"


class _Watched:
    """A file that moves a progress bar as it is read."""

    def __init__(self, file: Any, progress: Progress, task: TaskID) -> None:
        self._file = file
        self._progress = progress
        self._task = task

    def read(self, size: int = -1) -> bytes:
        found: bytes = self._file.read(size)
        self._progress.advance(self._task, len(found))
        return found


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(sys.stderr)) as progress:
        yield progress
