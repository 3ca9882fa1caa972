"""OpenTelemetry's own launcher: `opentelemetry-instrument` finds our entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from processes import clean_environment, running_ledger

from spanledger.server import stub_provider

pytestmark = pytest.mark.slow

APP = """
from openai import OpenAI
OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
"""


def test_the_launcher_records_each_call_once(tmp_path):
    """The distro sets up the exporter, the entry point patches openai: one span, with tokens and cost."""
    app = tmp_path / "app.py"
    app.write_text(APP)
    with (
        stub_provider.running() as stub,
        running_ledger(tmp_path, f"chdb://{tmp_path / 'database'}") as ledger,
    ):
        environment = {
            "OPENAI_BASE_URL": stub.base_url,
            "OPENAI_API_KEY": "stub",
            "OTEL_EXPORTER_OTLP_ENDPOINT": ledger.otlp,
            "OTEL_SERVICE_NAME": "launched",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        launcher = Path(sys.executable).with_name("opentelemetry-instrument")
        subprocess.run(
            [launcher, sys.executable, app],
            check=True,
            timeout=60,
            cwd=tmp_path,
            env=clean_environment() | environment,
        )
        (trace,) = ledger.get("/api/v1/traces")["traces"]
        (call,) = stub.calls()
    assert (trace["service"], trace["span_count"], trace["llm_call_count"]) == ("launched", 1, 1)
    assert trace["input_tokens"] == call["usage"]["prompt_tokens"]
    assert trace["cost_usd"] is not None
