"""Runs applications of real frameworks with and without us: `make frameworks`.

They share an environment of their own under `.matrix/frameworks`, run against the stub of OpenAI's API, and
send their spans to a receiver in this process. Installing needs the package registries; all else stays on
loopback. Of each it says whether the output is the same as without us, whether all spans are of one trace,
and whether the tokens of the calls are those that were billed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spanledger.server.stub_provider import StubProvider
from tests.instrumentation.matrix.__main__ import ENVIRONMENTS, built_wheel, pip
from tests.instrumentation.stubs import openai as stub
from tests.span_receiver import Receiver, receiving

_HERE = Path(__file__).parent
_PACKAGES = ("langchain", "langchain-openai", "langgraph", "pydantic-ai-slim[openai]", "openai-agents")
_COUNTS = {"input": ("prompt_tokens", "input_tokens"), "output": ("completion_tokens", "output_tokens")}
APPS = ("langgraph_agent", "pydantic_ai_agent", "agents_sdk")


def main(names: list[str]) -> int:
    unknown = set(names) - set(APPS)
    if unknown:
        print(f"no such application: {', '.join(sorted(unknown))}; there are {', '.join(APPS)}")
        return 2
    folder = _environment()
    failures = 0
    for name in names or APPS:
        with stub.running() as provider, receiving() as receiver:
            problems = _problems(name, folder, provider, receiver)
        failures += bool(problems)
        print(f"{name}: {len(receiver.spans())} spans, {'; '.join(problems) or 'as promised'}")
        for line in _tree(receiver.spans()):
            print(f"    {line}")
    return min(failures, 1)


def _environment() -> Path:
    folder = ENVIRONMENTS / "frameworks"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wheel = built_wheel("frameworks")
    pip(python, "install", "--force-reinstall", "--no-deps", str(wheel))
    pip(python, "install", str(wheel), *_PACKAGES)
    return folder


def _problems(name: str, folder: Path, provider: stub.Stub, receiver: Receiver) -> list[str]:
    app = str(_HERE / f"{name}.py")
    bins = folder / "bin"
    without = _run([str(bins / "python"), app], folder, provider)
    chat = StubProvider(provider.base_url, provider.root_url)
    provider.forget()
    chat.forget()
    told = _run(
        [str(bins / "spanledger"), "run", "--endpoint", receiver.endpoint, "--", str(bins / "python"), app],
        folder,
        provider,
    )
    billed = [line["usage"] for line in [*provider.account.billed, *chat.calls()]]
    ours = [
        span
        for request in receiver.requests
        for sent in request.resource_spans
        for scope in sent.scope_spans
        for span in scope.spans
        if scope.scope.name == "spanledger.instrumentation.providers.openai"
    ]
    found = []
    if without.returncode or told.returncode:
        found.append(f"it failed: {(without.stderr + told.stderr)[-500:]}")
    if told.stdout != without.stdout:
        found.append(f"another output: {told.stdout!r}, without us {without.stdout!r}")
    if told.stderr != without.stderr:
        found.append(f"another stderr: {told.stderr[-500:]!r}, without us {without.stderr[-500:]!r}")
    if len({span.trace_id for span in receiver.spans()}) != 1:
        found.append("the spans are not of one trace")
    if len(ours) != len(billed):
        found.append(f"{len(ours)} calls recorded, {len(billed)} billed")
    for key, names in _COUNTS.items():
        recorded = sum(_integer(span, f"gen_ai.usage.{key}_tokens") for span in ours)
        paid = sum(next(usage[one] for one in names if one in usage) for usage in billed)
        if recorded != paid:
            found.append(f"{recorded} {key} tokens recorded, {paid} billed")
    return found


def _run(command: list[str], folder: Path, provider: stub.Stub) -> subprocess.CompletedProcess[str]:
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-frameworks",
        "NO_PROXY": "*",
        # Not every framework asks for the usage of its streams.
        "SPANLEDGER_INCLUDE_USAGE": "true",
    }
    return subprocess.run(
        command, env=variables, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def _integer(span: Any, key: str) -> int:
    return next((pair.value.int_value for pair in span.attributes if pair.key == key), 0)


def _tree(spans: list[Any], parent: bytes = b"", depth: int = 0) -> Iterator[str]:
    for span in sorted(spans, key=lambda found: found.start_time_unix_nano):
        if span.parent_span_id == parent:
            tokens = [_integer(span, f"gen_ai.usage.{side}_tokens") for side in _COUNTS]
            yield f"{'  ' * depth}{span.name} {tokens if any(tokens) else ''}"
            yield from _tree(spans, span.span_id, depth + 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
