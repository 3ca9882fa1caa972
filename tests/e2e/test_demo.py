"""`spanledger demo`: the first thing that a newcomer runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from processes import clean_environment

pytestmark = pytest.mark.slow


def test_the_demo_prints_the_tree_with_tokens_and_money_twice_in_a_row(tmp_path):
    """It ends with exit code 0 and leaves nothing that would disturb the next time."""
    for _ in range(2):
        finished = subprocess.run(
            [sys.executable, "-m", "spanledger.server.cli", "demo"],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env=clean_environment(),
            cwd=tmp_path,
        )
        assert finished.returncode == 0, finished.stderr
        tree = finished.stdout[finished.stdout.rindex("\ntrace ") :]
        assert len(re.findall(r"chat gpt-4o-mini|chat gpt-4.1-nano", tree)) == 5
        assert re.search(r"execute_tool get_weather", tree)
        assert "error: RateLimitError" in tree
        assert re.search(r"\d+ in \(\d+ cached\) → \d+ out · \$0\.\d+", tree)
        assert re.search(r"8 spans · .*5 LLM calls · .*\$0\.\d+ · 1 call of unknown cost · 1 error", tree)
        assert list(tmp_path.iterdir()) == []


def test_the_real_provider_needs_a_key(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "spanledger.server.cli", "demo", "--real"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        cwd=tmp_path,
    )
    assert finished.returncode == 2
    assert "set OPENAI_API_KEY first" in finished.stderr
