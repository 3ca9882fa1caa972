"""`spanledger run`: unmodified programs, real processes, a real OTLP receiver."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from span_receiver import environment_with, text

from spanledger.instrumentation import autostart, setup
from spanledger.server import run

APP = """
import sys
from openai import OpenAI
answer = OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}])
print(answer.choices[0].message.content, *sys.argv[1:])
"""


def write(path: Path, code: str) -> Path:
    path.write_text(textwrap.dedent(code))
    return path


@pytest.mark.parametrize("form", ["-- python app.py", "app.py", "-- -m app", "-m app"])
def test_an_unmodified_program_is_recorded_and_prints_what_it_always_did(
    spanledger_run, receiver, tmp_path, form
):
    write(tmp_path / "app.py", APP)
    done = spanledger_run(
        "--endpoint",
        receiver.endpoint,
        "--header",
        "Authorization=Bearer a,b=c",
        *form.split(),
        "one",
        "--two",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "You said: hi one --two\n", "")
    (span,) = receiver.spans()
    assert span.name == "chat gpt-4o-mini"
    assert receiver.services() == {"app"}
    assert receiver.metadata[0]["authorization"] == "Bearer a,b=c"
    assert text(span, "gen_ai.input.messages") == ""
    assert "sk-test" not in str(receiver.requests)


def test_service_name_and_content_can_be_asked_for(spanledger_run, receiver, tmp_path):
    write(tmp_path / "app.py", APP)
    options = ("--endpoint", receiver.endpoint, "--service-name", "shop", "--capture-content")
    assert spanledger_run(*options, "app.py").returncode == 0
    assert receiver.services() == {"shop"}
    assert "You said" in text(receiver.spans()[0], "gen_ai.output.messages")


def test_the_processes_that_the_program_starts_are_recorded_too(spanledger_run, receiver, tmp_path):
    write(tmp_path / "app.py", APP)
    write(
        tmp_path / "parent.py",
        """
        import subprocess, sys
        sys.exit(subprocess.run([sys.executable, "app.py"]).returncode)
        """,
    )
    done = spanledger_run(
        "--endpoint", receiver.endpoint, "--", "sh", "-c", "python parent.py && python app.py"
    )
    assert done.returncode == 0, done.stderr
    assert len(receiver.spans()) == 2


def test_a_process_forked_after_the_first_export_exports_too_and_never_hangs(
    spanledger_run, receiver, tmp_path
):
    write(
        tmp_path / "forking.py",
        """
        import os
        from openai import OpenAI
        from opentelemetry import trace
        ask = dict(model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}])
        OpenAI().chat.completions.create(**ask)
        trace.get_tracer_provider().force_flush()
        child = os.fork()
        OpenAI().chat.completions.create(**ask)
        trace.get_tracer_provider().force_flush()
        if child == 0:
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    )
    done = spanledger_run("--endpoint", receiver.endpoint, "forking.py")
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
    assert len(receiver.spans()) == 3


def test_a_program_that_only_uses_our_structure_is_recorded_too(spanledger_run, receiver, tmp_path):
    write(tmp_path / "app.py", "from spanledger.instrumentation import workflow\nwith workflow('w'): pass")
    done = spanledger_run("--endpoint", receiver.endpoint, "app.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in receiver.spans()] == ["invoke_workflow w"]


def test_a_program_that_loads_no_sdk_pays_for_none_of_ours(spanledger_run, tmp_path):
    write(tmp_path / "app.py", "import sys; print({'opentelemetry', 'grpc', 'openai'} & set(sys.modules))")
    assert spanledger_run("app.py").stdout == "set()\n"


def test_the_exit_code_is_the_programs_own(spanledger_run, tmp_path):
    write(tmp_path / "app.py", "raise SystemExit(41)")
    assert spanledger_run("app.py").returncode == 41
    assert spanledger_run("--", "sh", "-c", "exit 42").returncode == 42


def test_signals_reach_the_program_which_has_our_process_id(stub, tmp_path):
    write(
        tmp_path / "app.py",
        """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        print(os.getpid(), flush=True)
        time.sleep(20)
        """,
    )
    command = [sys.executable, "-m", "spanledger.server.run", "app.py"]
    with subprocess.Popen(
        command, env=environment_with(stub), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 5


def test_a_sitecustomize_of_the_users_own_still_runs_and_keeps_its_name(spanledger_run, receiver, tmp_path):
    (tmp_path / "site").mkdir()
    write(tmp_path / "site" / "sitecustomize.py", "import builtins\nbuiltins.theirs = 'ran'\nNAME = 'theirs'")
    write(tmp_path / "app.py", APP + "import sitecustomize; print(theirs, sitecustomize.NAME)")
    done = spanledger_run("--endpoint", receiver.endpoint, "app.py", PYTHONPATH=str(tmp_path / "site"))
    assert (done.returncode, done.stdout) == (0, "You said: hi\nran theirs\n"), done.stderr
    assert len(receiver.spans()) == 1


def test_a_program_that_we_cannot_instrument_runs_as_without_us(spanledger_run, tmp_path):
    (tmp_path / "broken").mkdir()
    write(tmp_path / "broken" / "wrapt.py", "raise ImportError('not today')")
    write(tmp_path / "app.py", APP)
    done = spanledger_run("app.py", PYTHONPATH=str(tmp_path / "broken"))
    assert (done.returncode, done.stdout) == (0, "You said: hi\n")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("spanledger: this process is not instrumented")


def test_a_program_with_tracing_of_its_own_keeps_it_and_reports_to_both(spanledger_run, receiver, tmp_path):
    code = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
        {first}
        provider = TracerProvider()
        console = ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")
        provider.add_span_processor(SimpleSpanProcessor(console))
        trace.set_tracer_provider(provider)
        import openai
        ask = [{{"role": "user", "content": "hi"}}]
        openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=ask)
        """
    for number, first in enumerate(("", "import openai")):
        write(tmp_path / "app.py", textwrap.dedent(code).format(first=first))
        done = spanledger_run("--endpoint", receiver.endpoint, "app.py")
        assert (done.returncode, done.stdout, done.stderr) == (0, "chat gpt-4o-mini\n", "")
        assert len(receiver.spans()) == number + 1


@pytest.mark.parametrize("away", ["refused", "silent"])
def test_a_collector_that_is_away_delays_the_exit_by_seconds_at_most(spanledger_run, tmp_path, away):
    write(tmp_path / "app.py", APP)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if away == "silent":
            # Accepts connections and never says a word.
            listening.listen()
        started = time.monotonic()
        done = spanledger_run("--endpoint", f"http://127.0.0.1:{listening.getsockname()[1]}", "app.py")
        took = time.monotonic() - started
    assert (done.returncode, done.stdout) == (0, "You said: hi\n")
    assert took < 8


def test_the_demo_leaves_one_tree_with_a_refused_attempt_in_it(spanledger_run, receiver, stub):
    stub.forget()
    done = spanledger_run("--endpoint", receiver.endpoint, "-m", "spanledger.server.demo_app")
    assert done.returncode == 0, done.stderr
    assert "the first attempt was refused" in done.stdout
    spans = receiver.spans()
    assert len({span.trace_id for span in spans}) == 1
    (root,) = [span for span in spans if not span.parent_span_id]
    assert root.name == "invoke_workflow plan_day"
    chats = sorted(
        (span for span in spans if span.name.startswith("chat")), key=lambda s: s.start_time_unix_nano
    )
    errors = [span for span in chats if span.status.code == 2]
    assert [text(span, "error.type") for span in errors] == ["openai.RateLimitError"]
    answered = [text(span, "gen_ai.response.id") for span in chats if span not in errors]
    assert answered == [call["id"] for call in stub.calls()]
    assert len(answered) == 4
    assert [call["stream"] for call in stub.calls()] == [False, True, False, False]
    assert {text(span, "session.id") for span in spans} == {"demo-session"}
    assert all(text(span, "spanledger.cost.total") for span in chats if span not in errors)
    assert {"execute_tool get_weather", "invoke_agent travel_agent"} <= {span.name for span in spans}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--endpoint", "http://x"], 2),
        (["--header", "novalue", "--", "true"], 2),
        (["--no-such-option", "--", "true"], 2),
        (["--", "no-such-program-anywhere"], 127),
        (["--help"], 0),
    ],
)
def test_what_cannot_be_started_is_said_with_the_shells_exit_codes(words, code, capsys):
    assert run.main(words) == code
    out = capsys.readouterr()
    assert "usage" in (out.out + out.err) or "not found" in out.err


def test_the_environment_holds_the_options_and_respects_what_is_there():
    def environment(*options: str, **inherited: str) -> dict[str, str]:
        ours, words = run._split([*options, "python", "shop.py"])
        return run.environment(run._parser().parse_args(ours), words, inherited)

    plain = environment(PYTHONPATH="/a")
    assert plain["PYTHONPATH"].endswith(f"autostart{os.pathsep}/a")
    assert plain["SPANLEDGER_ENDPOINT"] == run.DEFAULT_ENDPOINT
    assert plain["OTEL_SERVICE_NAME"] == "shop"
    assert "SPANLEDGER_CAPTURE_CONTENT" not in plain
    assert environment(**plain)["PYTHONPATH"] == plain["PYTHONPATH"]
    assert "SPANLEDGER_ENDPOINT" not in environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4317")
    assert environment(OTEL_SERVICE_NAME="mine")["OTEL_SERVICE_NAME"] == "mine"
    assert "OTEL_SERVICE_NAME" not in environment(OTEL_RESOURCE_ATTRIBUTES="service.name=mine")
    assert environment("--service-name", "n", OTEL_SERVICE_NAME="mine")["OTEL_SERVICE_NAME"] == "n"


def test_every_provider_that_can_be_instrumented_wakes_the_start_up_hook():
    source = Path(autostart.__file__).with_name("sitecustomize.py").read_text()
    triggers = source.partition("_TRIGGERS = (")[2].partition(")")[0]
    assert [module for module in setup.PROVIDERS if f'"{module}"' not in triggers] == []


def test_a_base_install_is_enough():
    code = (
        "import sys, spanledger.server.run, spanledger.instrumentation.setup\n"
        "assert not {'fastapi', 'uvicorn', 'clickhouse_connect', 'chdb', 'openai'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
