"""query_api.upkeep: what is exported and imported again is what was stored, to the bit."""

from __future__ import annotations

import io
import json
import secrets
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_rows import stored_rows
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_logs import logs_request, record
from otlp_requests import SECOND, request, span
from random_requests import a_logs_request, a_request

from spanledger.collector import otlp_json
from spanledger.collector.gate import AllRejected, check
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import LOGS
from spanledger.query_api.upkeep import export as export_module
from spanledger.schemas.memory import Memory

T0 = 1_760_000_000 * SECOND
FORMATS = ("jsonl", "parquet")


@pytest.fixture
def everything(store, project):
    """Random spans with everything at its ends, and copies of some."""
    chance = Random(8)
    ids = iter(lambda: chance.randbytes(8), None)
    sent = ExportTraceServiceRequest()
    for _ in range(40):
        sent.MergeFrom(a_request(chance, ids))
    body = sent.SerializeToString()
    for received_at_ns in (5, 6):
        store.insert([Request(body, project, received_at_ns, check(body, 32).spans, deep=True)])


def exported(api, query="", **more):
    answer = api.get(f"/api/v1/export?{query}", **more)
    assert answer.status_code == 200, answer.text
    return answer.content


def rows_of(reader, project):
    rows = stored_rows(reader, project, "spans FINAL")
    return {key: row | {"project": None} for key, row in rows.items()}


@pytest.mark.parametrize("form", FORMATS)
def test_rows_are_identical_in_the_project_that_they_are_imported_into(  # noqa: PLR0917
    make_api, reader, project, everything, monkeypatch, form
):
    monkeypatch.setattr(export_module, "_FIRST_ROWS", 7)
    monkeypatch.setattr(export_module, "_MOST_ROWS", 11)
    api = make_api()
    file = exported(api, f"format={form}")
    assert exported(api, f"format={form}") == file
    other = make_api(project=f"{project}-copy")
    for _ in range(2):  # the second time changes nothing
        answer = other.post(f"/api/v1/import?format={form}", content=file)
        assert answer.status_code == 200, answer.text
        first, second = rows_of(reader, project), rows_of(reader, f"{project}-copy")
        assert answer.json() == {"table": "spans", "rows": len(first), "deleted": 0, "expired": 0}
        if form == "jsonl":
            first, second = _one_nan(first), _one_nan(second)
        assert second == first
    assert len(first) > 40


def _one_nan(rows):
    """Lines of JSON have one NaN; Parquet has its bits, too."""

    def plain(value):
        bits = int.from_bytes(value, "big") if isinstance(value, bytes) else value
        return "nan" if bits & (0x7FF << 52) == 0x7FF << 52 and bits & ((1 << 52) - 1) else bits

    return {
        key: row | {"attributes_double": [(name, plain(value)) for name, value in row["attributes_double"]]}
        for key, row in rows.items()
    }


def test_log_records_are_identical_too(make_api, store, reader, project):
    chance = Random(9)
    ids = iter(lambda: chance.randbytes(8), None)
    sent = [a_logs_request(chance, ids).SerializeToString() for _ in range(20)]
    store.insert([Request(body, project, 5, n, True, "logs") for body in sent if (n := _good_logs(body))])
    file = exported(make_api(), "table=logs&format=parquet")
    copy = f"{project}-copy"
    answer = make_api(project=copy).post("/api/v1/import?format=parquet", content=file)
    assert answer.json()["rows"] > 20
    lines = [exported(make_api(project=name), "table=logs").splitlines()[1:-1] for name in (project, copy)]
    first, second = ([json.loads(line) | {"project": ""} for line in found] for found in lines)
    assert len(first) == answer.json()["rows"]
    assert second == first


def _good_logs(body):
    try:
        return check(body, 32, LOGS).spans
    except AllRejected:
        return 0


def test_an_export_is_complete_and_without_doubles_however_small_its_chunks(
    make_api, ingest, project, monkeypatch
):
    """Many spans of one hour, of few traces and with copies, and hours far apart."""
    monkeypatch.setattr(export_module, "_FIRST_ROWS", 1)
    monkeypatch.setattr(export_module, "_MOST_ROWS", 3)
    monkeypatch.setattr(export_module, "_WINDOW_ROWS", 5)
    spans = [span(bytes([n % 3 + 1] * 16), start_time_unix_nano=T0 + n // 7) for n in range(60)]
    spans += [span(start_time_unix_nano=T0 + n * 3600 * SECOND) for n in range(1, 20)]
    ingest(request(*spans))
    ingest(request(*spans[::2]))
    lines = [json.loads(line) for line in exported(make_api()).splitlines()]
    assert sorted(row["span_id"] for row in lines[1:-1]) == sorted(one.span_id.hex() for one in spans)
    hours = [(row["start_time"] // (3600 * SECOND), row["trace_id"], row["span_id"]) for row in lines[1:-1]]
    assert hours == sorted(hours)
    assert lines[-1] == {"spanledger_end": {"rows": len(spans)}}
    found = ExportTraceServiceRequest()
    for line in exported(make_api(), "format=otlp").splitlines():
        found.MergeFromString(otlp_json.traces(line))
    assert sorted(
        one.SerializeToString()
        for above in found.resource_spans
        for beside in above.scope_spans
        for one in beside.spans
    ) == sorted(one.SerializeToString() for one in spans)


def test_what_starts_in_a_time_is_exported_and_nothing_else(api, ingest):
    spans = [span(start_time_unix_nano=T0 + n * SECOND, name=str(n)) for n in range(5)]
    ingest(request(*spans))
    query = "start=2025-10-09T08:53:21Z&end=2025-10-09T08:53:23Z"
    head, *rows, _ = map(json.loads, exported(api, query).splitlines())
    assert [row["name"] for row in sorted(rows, key=lambda row: row["start_time"])] == ["1", "2"]
    assert head["spanledger_export"]["start_ns"] == T0 + SECOND
    for wrong in ("start=2025-10-09T08:53:21Z&end=2025-10-09T08:53:21Z", "format=xml", "table=prices", "a=1"):
        assert api.get(f"/api/v1/export?{wrong}").status_code == 400, wrong


def test_an_empty_project_is_an_empty_file_of_each_format(idle_api):
    head, end = map(json.loads, exported(idle_api).splitlines())
    assert head["spanledger_export"]["table"] == "spans"
    assert end == {"spanledger_end": {"rows": 0}}
    assert exported(idle_api, "format=otlp") == b""
    table = pq.read_table(io.BytesIO(exported(idle_api, "format=parquet")))
    assert (table.num_rows, table.column_names[:2]) == (0, ["project", "trace_id"])


def test_logs_of_the_time_as_otlp(api, ingest_logs):
    sent = record(body=[1, {"a": b"x"}])
    ingest_logs(logs_request(sent))
    [line] = exported(api, "format=otlp&table=logs").splitlines()
    assert sent.SerializeToString() in otlp_json.logs(line)


@pytest.fixture
def lines(api, ingest):
    """The lines of an export of two spans."""
    ingest(request(span(name="a"), span(name="b")))
    return exported(api).splitlines()


def refused(api, lines, form="jsonl"):
    body = lines if isinstance(lines, bytes) else b"\n".join(lines)
    answer = api.post(f"/api/v1/import?format={form}", content=body)
    assert answer.status_code == 400, answer.text
    return answer.json()["detail"]


WRONG = {
    "no hex": ("trace_id", "x", 'line 2: trace_id is "x"; allowed: 32 hexadecimal digits'),
    "short": ("span_id", "00", 'line 2: span_id is "00"; allowed: 16 hexadecimal digits'),
    "text for a number": ("flags", "one", 'line 2: flags is "one"; allowed: a whole number from 0 to 42'),
    "too large": ("flags", 1 << 32, "allowed: a whole number from 0 to 4294967295"),
    "a fraction": ("kind", 1.5, "line 2: kind is 1.5"),
    "true for a number": ("kind", True, "line 2: kind is true"),
    "number for text": ("name", 1, "line 2: name is 1; allowed: text"),
    "null": ("name", None, "line 2: name is null; allowed: text"),
    "beyond the sorting key": ("start_time", 1 << 62, "line 2: start_time is"),
    "to arrive in years": ("received_at", 1 << 62, "line 2: received_at is"),
    "no role": ("role", "BOSS", 'line 2: role is "BOSS"; allowed: LLM, '),
    "no source of a cost": ("cost_source", "a", "allowed: nothing, reported, computed"),
    "no reason": ("cost_reason", [], "allowed: nothing, not_counted, duplicate"),
    "no map": ("attributes_string", [], "line 2: attributes_string is []; allowed: an object"),
    "wrong in a map": ("attributes_int", {"a": "b"}, "line 2: attributes_int is"),
    "no list": ("tags", "a", 'line 2: tags is "a"; allowed: a list'),
    "no truth": ("counted", 1, "allowed: true or false"),
    "no money": ("cost_usd", "NaN", "allowed: a decimal number as text"),
    "too much money": ("cost_usd", "1" * 21, "allowed: a decimal number as text"),
    "too fine money": ("cost_usd", "0." + "1" * 19, "allowed: a decimal number as text"),
    "lists of different length": ("events.name", ["a"], "line 2: the lists of events have different lengths"),
    "a column more": ("mine", 1, "line 2: the columns are not those of the first line: mine"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_row_that_is_wrong_is_refused_by_line_and_column(make_api, lines, what):
    column, value, said = WRONG[what]
    row = json.loads(lines[1]) | {column: value}
    api = make_api(project="nobody-imports-here")
    assert said in refused(api, [lines[0], json.dumps(row).encode(), *lines[2:]])
    assert exported(api).splitlines()[1:] == [b'{"spanledger_end":{"rows":0}}']


def test_a_file_that_is_none_or_was_cut_off_is_refused_with_what_to_do(make_api, lines):
    api = make_api(project="nobody-imports-here-either")
    head = json.loads(lines[0])["spanledger_export"]

    def first(**changed):
        return [json.dumps({"spanledger_export": head | changed}).encode(), *lines[1:]]

    for sent, said in (
        (b"", "The file is empty"),
        (b"\xff\xfe", "line 1 is no JSON in UTF-8"),
        ([b"[]"], "line 1 is no JSON object"),
        (lines[1:], "line 1: this is no export of spanledger"),
        (first(version=2), "version 2 of the format; allowed: 1"),
        (first(table="prices"), 'no table "prices"; allowed: spans, logs'),
        (first(columns=["x"]), "columns that spans does not have, or that are named twice: x"),
        (first(columns=["name"]), "without span_id, start_time, trace_id a row of spans is none"),
        ([lines[0], b"{"], "line 2 is no JSON in UTF-8, or was cut off"),
        ([lines[0], lines[-1]], "line 2: the file says that it has 2 rows; it has 0"),
        (lines[:2], "the file was cut off"),
        ([*lines, lines[1]], "something stands behind the last line"),
    ):
        assert said in refused(api, sent), said
    assert "is no Parquet file, or was cut off" in refused(api, b"PAR1 and no more", "parquet")


def test_a_parquet_file_is_checked_as_lines_are(make_api, api, ingest):
    ingest(request(span()))
    table = pq.read_table(io.BytesIO(exported(api, "format=parquet")))
    place = table.schema.get_field_index("start_time")
    late = pa.array([1 << 62], pa.timestamp("ns", "UTC"))

    def given(name, value):
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        return table.set_column(place, field, pa.array([value], field.type))

    other = make_api(project="nobody-imports-here-at-all")
    for changed, said in (
        (table.drop_columns("name"), "column name is None; allowed: string"),
        (table.set_column(place, table.schema.field(place), late), "row group 1, rows 1 to 1: start_time is"),
        (given("received_at", 1 << 62), "row group 1, rows 1 to 1: received_at is"),
        (given("received_at", None), "row group 1, rows 1 to 1: received_at is null"),
        (given("trace_id", None), "row group 1, rows 1 to 1: trace_id is null"),
        (given("role", "BOSS"), 'role is "BOSS"; allowed: LLM, '),
        (given("cost_source", "a"), "allowed: nothing, reported, computed"),
        (table.replace_schema_metadata({}), "this is no export of spanledger"),
    ):
        file = io.BytesIO()
        pq.write_table(changed, file)
        assert said in refused(other, file.getvalue(), "parquet"), said


def test_long_lines_of_several_files_share_the_memory_that_there_is(make_api, lines):
    """While one is read another is told to come again; a short one is read all the same."""
    api = make_api(project=f"long-{secrets.token_hex(4)}")
    api.app.state.import_memory = memory = Memory(6 << 20)
    row = json.loads(lines[1]) | {"status_message": "x" * (5 << 20)}
    long = b"\n".join([lines[0], json.dumps(row).encode(), b'{"spanledger_end":{"rows":1}}'])

    def pieces():
        yield from (long[n : n + (1 << 20)] for n in range(0, len(long), 1 << 20))

    with memory.share() as hold:
        hold(2 << 20)
        answer = api.post("/api/v1/import", content=pieces())
        assert answer.status_code == 503, answer.text
        assert "retry-after" in answer.headers
        assert api.post("/api/v1/import", content=b"\n".join(lines)).json()["rows"] == 2
    assert api.post("/api/v1/import", content=pieces()).json()["rows"] == 1
    with memory.share() as hold:
        hold(1 << 40)  # nothing is held any more


def test_an_import_does_not_take_the_place_of_what_came_later(api, ingest, project):
    sent = span(name="first")
    ingest(request(sent))
    file = exported(api)
    sent.name = "second"
    ingest(request(sent))
    assert api.post("/api/v1/import", content=file).status_code == 200
    assert json.loads(exported(api).splitlines()[1])["name"] == "second"


def test_a_file_without_newer_columns_gets_their_defaults(make_api, lines):
    """Of an older version."""
    head = json.loads(lines[0])
    head["spanledger_export"]["columns"].remove("cost_origin")
    rows = [json.loads(line) for line in lines[1:-1]]
    for row in rows:
        del row["cost_origin"]
    body = b"\n".join(json.dumps(line).encode() for line in (head, *rows, json.loads(lines[-1])))
    api = make_api(project=f"older-{rows[0]['span_id']}")
    assert api.post("/api/v1/import", content=body).json() == {
        "table": "spans",
        "rows": 2,
        "deleted": 0,
        "expired": 0,
    }
    assert [json.loads(line)["cost_origin"] for line in exported(api).splitlines()[1:-1]] == ["", ""]


def test_imported_spans_lie_within_the_times_of_their_traces(make_api, writer, store, project):
    """A trace is looked up within these times: one that is imported into an empty ledger must have them."""
    sent = [span(start_time_unix_nano=T0 + n * 10**9) for n in range(3)]
    for one in sent:
        one.trace_id = sent[0].trace_id
    body = request(*sent).SerializeToString()
    store.insert([Request(body, project, 5, 3)])
    file = exported(make_api())
    trace_id = sent[0].trace_id.hex()
    where = "trace_id = toFixedString(unhex({trace_id:String}), 16)"
    writer.command(
        f"ALTER TABLE trace_times DELETE WHERE {where} SETTINGS mutations_sync = 2",
        parameters={"trace_id": trace_id},
    )
    copy = make_api(project=f"{project}-copy")
    assert copy.post("/api/v1/import", content=file).status_code == 200
    found = writer.query(
        "SELECT toUnixTimestamp64Nano(min(first)), toUnixTimestamp64Nano(max(last)) "
        f"FROM trace_times WHERE {where}",
        parameters={"trace_id": trace_id},
    ).result_rows
    assert found == [(T0, T0 + 2 * 10**9)]
    assert copy.get(f"/api/v1/traces/{trace_id}").json()["span_count"] == 3


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_deleted_does_not_come_back_with_an_import(api, ingest, form):
    gone, stays = span(), span()
    ingest(request(gone, stays))
    file = exported(api, f"format={form}")
    deletion = {"trace_ids": [gone.trace_id.hex()], "reason": "a test"}
    assert api.post("/api/v1/deletions", json=deletion).status_code == 202
    answer = api.post(f"/api/v1/import?format={form}", content=file)
    assert answer.json() == {"table": "spans", "rows": 2, "deleted": 1, "expired": 0}
    assert api.get(f"/api/v1/traces/{gone.trace_id.hex()}").status_code == 404
    assert api.get(f"/api/v1/traces/{stays.trace_id.hex()}").status_code == 200


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_older_than_the_project_keeps_does_not_come_back_with_an_import(
    make_api, api, ingest, project, form
):
    old, new = span(start_time_unix_nano=T0), span()
    ingest(request(old, new))
    file = exported(api, f"format={form}")
    copy = make_api(project=f"{project}-copy")
    assert copy.put("/api/v1/retention", json={"days": 7}).status_code == 200
    answer = copy.post(f"/api/v1/import?format={form}", content=file)
    assert answer.json() == {"table": "spans", "rows": 2, "deleted": 0, "expired": 1}
    found = copy.get("/api/v1/spans").json()["spans"]
    assert [row["span_id"] for row in found] == [new.span_id.hex()]
