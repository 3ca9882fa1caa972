"""`spanledger run` in front of what people serve and work with: one trace each, every span, a clean end."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import wait_until
from span_receiver import Receiver, environment_with, text

pytestmark = pytest.mark.slow

ASK = """
import openai
def ask(question):
    client = openai.OpenAI(max_retries=0)
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages).choices[0].message.content
"""


def write(path: Path, code: str) -> Path:
    path.write_text(textwrap.dedent(code))
    return path


@contextmanager
def started(
    command: list[str], stub: Any, receiver: Receiver, folder: Path, ready: Callable[[str], bool], **more: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A server under `spanledger run`, from its readiness on; ended by SIGTERM, and it must end by itself."""
    log = folder / "server.log"
    run = [sys.executable, "-m", "spanledger.server.run", "--endpoint", receiver.endpoint, "--", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            run, env=environment_with(stub, **more), cwd=folder, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: ready(log.read_text()) or process.poll() is not None, 60)
        assert process.poll() is None, log.read_text()
        yield process, log
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def answers(url: str, count: int) -> list[str]:
    """Of so many requests at once."""
    with httpx.Client(trust_env=False, timeout=30) as client, ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda number: client.get(f"{url}/?q=q{number}").text, range(count)))


def test_gunicorn_with_a_preloaded_application_and_several_workers(stub, receiver, tmp_path):
    write(
        tmp_path / "shop.py",
        ASK
        + """
import os
from urllib.parse import parse_qs
from spanledger.instrumentation import workflow
from opentelemetry import trace
# Instrumented, and an exporter made, in the process that is forked from.
assert type(trace.get_tracer_provider()).__module__.startswith("opentelemetry.sdk")
def app(environ, start_response):
    with workflow("request"):
        answer = ask(parse_qs(environ["QUERY_STRING"])["q"][0])
    start_response("200 OK", [("content-type", "text/plain")])
    return [f"{os.getpid()} {answer}".encode()]
""",
    )
    port = free_port()
    command = [
        *("gunicorn", "--preload", "--workers", "2", "--threads", "2", "--bind", f"127.0.0.1:{port}"),
        "shop:app",
    ]
    with started(command, stub, receiver, tmp_path, lambda log: log.count("Booting worker") == 2) as (_, log):
        found = answers(f"http://127.0.0.1:{port}", 24)
    assert {answer.partition(" ")[2] for answer in found} == {f"You said: q{number}" for number in range(24)}
    in_one_tree(receiver, 24, "invoke_workflow request")
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_uvicorn_with_streaming_answers_to_many_at_once(stub, receiver, tmp_path, workers):
    write(
        tmp_path / "shop.py",
        """
        import openai
        from fastapi import FastAPI
        from fastapi.responses import StreamingResponse
        from spanledger.instrumentation import workflow
        app = FastAPI()
        client = openai.AsyncOpenAI(max_retries=0)
        @app.get("/")
        async def root(q: str):
            @workflow("request")
            async def pieces():
                stream = await client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": q}], stream=True
                )
                async for chunk in stream:
                    if chunk.choices and chunk.choices[0].delta.content:
                        yield chunk.choices[0].delta.content
            return StreamingResponse(pieces())
        """,
    )
    port = free_port()
    command = ["uvicorn", "--host", "127.0.0.1", "--port", str(port), "--workers", workers, "shop:app"]
    ready = "Application startup complete"
    with started(command, stub, receiver, tmp_path, lambda log: log.count(ready) == int(workers)) as (_, log):
        found = answers(f"http://127.0.0.1:{port}", 24)
    assert set(found) == {f"You said: q{number}" for number in range(24)}
    in_one_tree(receiver, 24, "invoke_workflow request")
    assert "Traceback" not in log.read_text()


def test_celery_with_forked_workers(stub, receiver, tmp_path):
    write(
        tmp_path / "shop.py",
        ASK
        + f"""
from celery import Celery
from spanledger.instrumentation import workflow
app = Celery("shop", broker="filesystem://", backend="file://{tmp_path}/results")
app.conf.broker_transport_options = {{
    "data_folder_in": "{tmp_path}/queue", "data_folder_out": "{tmp_path}/queue",
    "control_folder": "{tmp_path}/control",
}}
@app.task
def answer(question):
    with workflow("task"):
        return ask(question)
""",
    )
    for folder in ("queue", "results", "control"):
        (tmp_path / folder).mkdir()
    command = [
        *("celery", "--app", "shop", "worker", "--concurrency", "2", "--pool", "prefork"),
        *("--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    send = "import shop; print([r.get(timeout=30) for r in [shop.answer.delay(f'q{n}') for n in range(6)]])"
    with started(command, stub, receiver, tmp_path, lambda log: " ready." in log) as (_, log):
        done = subprocess.run(
            [sys.executable, "-c", send],
            env=environment_with(stub),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr + log.read_text()
    assert done.stdout.strip() == str([f"You said: q{number}" for number in range(6)])
    in_one_tree(receiver, 6, "invoke_workflow task")


def test_pytest_and_its_tests(spanledger_run, receiver, tmp_path):
    write(tmp_path / "test_shop.py", ASK + "def test_it():\n    assert ask('q') == 'You said: q'\n")
    done = spanledger_run("--endpoint", receiver.endpoint, "--", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [span.name for span in receiver.spans()] == ["chat gpt-4o-mini"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_children_of_multiprocessing_send_their_last_spans(spanledger_run, receiver, tmp_path, method):
    write(
        tmp_path / "app.py",
        ASK
        + f"""
import multiprocessing
if __name__ == "__main__":
    ask("parent")
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=ask, args=(f"child {{n}}",)) for n in range(2)]
    [child.start() for child in children]
    [child.join() for child in children]
    print([child.exitcode for child in children])
""",
    )
    done = spanledger_run("--endpoint", receiver.endpoint, "app.py")
    assert (done.returncode, done.stdout) == (0, "[0, 0]\n"), done.stderr
    assert len(receiver.spans()) == 3


def test_threads_and_executors_stay_in_the_trace_of_who_starts_them_case_31(
    spanledger_run, receiver, tmp_path
):
    write(
        tmp_path / "app.py",
        ASK
        + """
import threading
from concurrent.futures import ThreadPoolExecutor
from spanledger.instrumentation import workflow
pool = ThreadPoolExecutor(1)
pool.submit(ask, "before").result()
with workflow("w"):
    list(pool.map(ask, ["one", "two"]))
    thread = threading.Thread(target=ask, args=("three",))
    thread.start()
    thread.join()
pool.submit(ask, "after").result()
""",
    )
    for keeps, traces in (("true", 3), ("false", 6)):
        done = spanledger_run("--endpoint", receiver.endpoint, "app.py", SPANLEDGER_THREADS=keeps)
        assert done.returncode == 0, done.stderr
        assert len(receiver.spans()) == 6
        assert len({span.trace_id for span in receiver.spans()}) == traces
        receiver.requests.clear()


@pytest.mark.parametrize("named", [True, False])
def test_opentelemetrys_launcher_with_our_distro(stub, receiver, tmp_path, named):
    """Named it records with our settings; unnamed it stands aside for the usual one."""
    write(tmp_path / "app.py", ASK + "print(ask('q'))")
    settings = dict.fromkeys(("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
    settings |= {"OTEL_SERVICE_NAME": "launched"}
    if named:
        settings |= {"OTEL_PYTHON_DISTRO": "spanledger", "SPANLEDGER_ENDPOINT": receiver.endpoint}
    else:
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "app.py"],
        env=environment_with(stub, **settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "You said: q\n"), done.stderr
    (span,) = receiver.spans()
    assert text(span, "spanledger.cost.total")
    assert receiver.services() == {"launched"}
    assert "Traceback" not in done.stderr


def in_one_tree(receiver: Receiver, count: int, step: str) -> None:
    """Every request is a trace with one root: the step of the application is in it, and its call in that.

    Frameworks may add spans of their own.
    """

    def ours() -> list[Any]:
        return [span for span in receiver.spans() if span.name in {step, "chat gpt-4o-mini"}]

    wait_until(lambda: len(ours()) >= 2 * count, 30)
    assert len(ours()) == 2 * count
    traces: dict[bytes, list[Any]] = {}
    for span in receiver.spans():
        traces.setdefault(span.trace_id, []).append(span)
    assert len(traces) == count
    for spans in traces.values():
        assert len([span for span in spans if not span.parent_span_id]) == 1
        (outer,) = [span for span in spans if span.name == step]
        (call,) = [span for span in spans if span.name == "chat gpt-4o-mini"]
        assert call.parent_span_id == outer.span_id
        assert text(call, "gen_ai.response.id")
