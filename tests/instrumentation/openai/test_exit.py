"""A process that exits leaves no call behind: what is still open, and what is still being read, is sent."""

import subprocess
import sys
from pathlib import Path

import pytest

from spanledger.server.stub_provider import StubProvider
from tests.span_receiver import environment_with, receiving

BACKGROUND = """
import openai
print(openai.OpenAI().responses.create(model="gpt-4o-mini", input="hello", background=True).status)
"""
BATCH = """
import json, openai
client = openai.OpenAI()
body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
lines = b"".join(json.dumps(line).encode() + b"\\n" for _ in range(700))
file = client.files.create(file=("in.jsonl", lines), purpose="batch")
made = client.batches.create(
    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
)
client.files.content(client.batches.retrieve(made.id).output_file_id)
"""


@pytest.mark.parametrize(
    ("program", "names"),
    [(BACKGROUND, {"chat gpt-4o-mini": 1}), (BATCH, {"fetch_response": 1, "chat gpt-4o-mini": 700})],
    ids=["background", "batch"],
)
def test_what_is_open_at_the_exit_is_sent(api, tmp_path: Path, program: str, names: dict[str, int]):
    (tmp_path / "app.py").write_text(program)
    with receiving() as receiver:
        finished = subprocess.run(
            [
                sys.executable,
                "-m",
                "spanledger.server.run",
                "--endpoint",
                receiver.endpoint,
                str(tmp_path / "app.py"),
            ],
            env=environment_with(StubProvider(api.base_url, api.root_url)),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stderr == ""
        sent = [span.name for span in receiver.spans()]
    assert {name: sent.count(name) for name in set(sent)} == names
