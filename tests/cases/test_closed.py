"""Cases 48 to 50: what a web page may not do, what nobody can make the server do, and what errors tell."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from otlp_requests import key_values, llm_span, request, span
from processes import running_ledger
from transports import encode, open_transports, post

FOREIGN = "https://evil.example"
# What a server must never do for a sender, as Python reports it of itself, in all threads.
WATCHER = """
import os, sys

_LEADING_OUT = {
    *("socket.connect", "socket.getaddrinfo", "socket.sendto"),
    *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "ctypes.dlopen"),
}
_log = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def _watch(event, arguments):
    if event in _LEADING_OUT:
        os.write(_log, f"{event} {arguments[-1]!r}\\n".encode())
    elif event == "open":
        os.write(_log, f"open {arguments[0]!r}\\n".encode())

if os.environ.get("WATCHED"):
    sys.addaudithook(_watch)
"""
SECRET = "/srv/secret SELECT 1 FROM t; token=hunter2"
# A mistake in the middle of the collector, and one in the API.
BROKEN = f"""
import wrapt

@wrapt.when_imported("spanledger.collector.gate")
def _break_gate(module):
    check = module.check
    def broken(body, *rest, **more):
        if b"please fail" in body:
            raise RuntimeError({SECRET!r})
        return check(body, *rest, **more)
    module.check = broken

@wrapt.when_imported("spanledger.query_api.trees.tree")
def _break_tree(module):
    def broken(*_):
        raise RuntimeError({SECRET!r})
    module.build_tree = broken
"""


@pytest.fixture
def customised(tmp_path, monkeypatch):
    """Code that the next processes run at their start: `customised(text)`."""

    def customise(text: str) -> None:
        folder = tmp_path / "site"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return customise


# --- 48: web pages


def cross_origin(answer: httpx.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


def test_case_48_a_page_of_another_origin_is_not_allowed_anything(world, http_way):
    """Without the headers of CORS a browser sends no such request, and shows no answer."""
    preflight = {
        "Origin": FOREIGN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    with world.nothing_stored():
        asked = http_way.client.options("/v1/traces", headers=preflight)
        assert asked.status_code >= 400
        assert cross_origin(asked) == []
    body = encode(request(span()), http_way.encoding)
    assert cross_origin(post(http_way.client, body, http_way.encoding, Origin=FOREIGN)) == []


def test_case_48_the_types_that_a_page_may_send_without_asking_are_refused(world, http_way):
    body = encode(request(span()), http_way.encoding)
    with world.nothing_stored():
        for simple in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            assert post(http_way.client, body, simple, Origin=FOREIGN).status_code == 415


def test_case_48_the_api_allows_no_page_of_another_origin(world):
    url = f"http://127.0.0.1:{world.ledger.ports['api']}/api/v1/traces"
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": FOREIGN, "Access-Control-Request-Method": "GET"}
        assert cross_origin(httpx.request(method, url, headers=headers, trust_env=False)) == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4318", "127.0.0.1.evil.example", "localhost.evil", "0.0.0.0", ""]
)
def test_case_48_a_host_that_is_not_this_machine_is_403(world, http_way, host):
    """A page can point a name of its own at 127.0.0.1."""
    body = encode(request(span()), http_way.encoding)
    with world.nothing_stored():
        assert post(http_way.client, body, http_way.encoding, Host=host).status_code == 403
    url = f"http://127.0.0.1:{world.ledger.ports['api']}/api/v1/traces"
    assert httpx.get(url, headers={"Host": host}, trust_env=False).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:4318", "127.0.0.1", "127.8.8.8:1", "[::1]:4318"])
def test_case_48_every_name_of_this_machine_is_served(world, http_way, host):
    body = encode(request(), http_way.encoding)
    assert post(http_way.client, body, http_way.encoding, Host=host).status_code == 200


# --- 49: no request leads out


@pytest.mark.slow
def test_case_49_no_request_makes_the_server_connect_or_read_a_file(tmp_path, customised, monkeypatch):
    """Python's own audit hook sees its side; a listener and a file that nobody may touch see the engine's."""
    customised(WATCHER)
    watched, folder = tmp_path / "watched", tmp_path / "database"
    spool = folder / "spool"  # where the engine's client puts the bytes of an insert
    monkeypatch.setenv("WATCHED", str(watched))
    bait = tmp_path / "bait.txt"
    bait.write_text("the content of the bait")
    with (
        listening() as (port, connections),
        running_ledger(tmp_path, f"chdb://{folder}") as ledger,
        open_transports(ledger) as ways,
    ):
        # Once without a lure: what is imported late is read from files too.
        for way in ways.values():
            send_lures(way, ["harmless"])
        ask_lures(ledger, ["harmless"])
        before = len(watched.read_text().splitlines())
        assert before > 100
        url = f"http://127.0.0.1:{port}/"
        lures = lures_of(url, bait)
        answers = [send_lures(way, lures) for way in ways.values()]
        answers += [ask_lures(ledger, lures)]
        seen = watched.read_text().splitlines()[before:]
    assert connections == []
    assert "the content of the bait" not in "".join(answers)
    assert any(str(spool) in line for line in seen), "nothing was watched"
    assert [line for line in seen if not is_inside(line, folder)] == []


def lures_of(url: str, bait: Path) -> list[str]:
    return [
        url,
        f"{url}?file=/etc/passwd",
        f"file://{bait}",
        str(bait),
        f"../../{bait}",
        f"url('{url}', CSV)",
        f"' || file('{bait}', 'RawBLOB') || '",
        f"(SELECT * FROM url('{url}', 'RawBLOB', 'x String'))",
        f"{{x:{bait}}}",
        f"<!DOCTYPE r [<!ENTITY e SYSTEM 'file://{bait}'>]><r>&e;</r>",
        f"${{jndi:ldap://127.0.0.1/{url}}}",
    ]


def send_lures(way, lures: list[str]) -> str:
    """Send them in every place where text can be; what the answers said."""
    said = []
    for lure in lures:
        everywhere = {
            lure: lure,
            "url.full": lure,
            "gen_ai.input.messages": lure,
            "list": [lure],
            "map": {lure: lure},
        }
        sent = llm_span(model=lure, provider=lure)
        sent.name = sent.trace_state = sent.status.message = lure
        sent.attributes.extend(key_values(everywhere))
        sent.events.add(name=lure).attributes.extend(key_values(everywhere))
        made = request(sent, resource=everywhere | {"service.name": lure}, scope=lure)
        made.resource_spans[0].schema_url = made.resource_spans[0].scope_spans[0].schema_url = lure
        answered = way.send(made)
        assert answered.code == "OK"
        said.append(answered.message)
    said.append(way.send_body(lures[0].encode()).message)
    return " ".join(said)


def ask_lures(ledger, lures: list[str]) -> str:
    listed = [
        ledger.ask("/api/v1/traces", **{name: lure})
        for lure in lures
        for name in ("service", "model", "cursor")
    ]
    trees = [ledger.ask(f"/api/v1/traces/{lure}") for lure in lures]
    ours = ledger.get("/api/v1/traces")["traces"]
    assert len(ours) >= 3 * len(lures)
    trees += [ledger.ask(f"/api/v1/traces/{trace['trace_id']}") for trace in ours]
    assert 500 not in {answer.status_code for answer in listed + trees}
    return " ".join(answer.text for answer in listed + trees)


def is_inside(line: str, *folders: Path) -> bool:
    event, _, path = line.partition(" ")
    return event == "open" and any(path.startswith(f"'{folder}") for folder in folders)


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, list]]:
    """A listener on loopback: its port, and who connected."""
    connections: list = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = listener.accept()
                connections.append(peer)
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], connections
        listener.shutdown(socket.SHUT_RDWR)


# --- 50: errors of our own


@pytest.mark.slow
def test_case_50_an_internal_error_tells_nothing_but_an_id_that_the_log_has_once(tmp_path, customised):
    customised(BROKEN)
    with (
        running_ledger(tmp_path, f"chdb://{tmp_path / 'database'}") as ledger,
        open_transports(ledger) as ways,
    ):
        good = span()
        said = []
        for way in ways.values():
            answered = way.send(request(span(name="please fail")))
            assert (answered.code, answered.delays) == ("INTERNAL", ())
            said.append(answered.message)
            assert way.send(request(good)).code == "OK"
        answer = ledger.ask(f"/api/v1/traces/{good.trace_id.hex()}")
        assert answer.status_code == 500
        said.append(answer.text)
        assert [trace["span_count"] for trace in ledger.get("/api/v1/traces")["traces"]] == [1]
        log = ledger.log.read_text()
    for text in said:
        assert not re.search(r"secret|SELECT|hunter2|RuntimeError|Traceback|\.py|line \d|0\.1\.0", text)
        (error_id,) = re.findall(r"\b[0-9a-f]{32}\b", text.replace(good.trace_id.hex(), ""))
        (logged,) = [json.loads(line) for line in log.splitlines() if error_id in line]
        assert "RuntimeError" in str(logged)
