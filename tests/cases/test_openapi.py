"""What fits the OpenAPI description, and what nearly does, is answered without an error of the server's."""

from __future__ import annotations

import contextlib

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from processes import running_ledger
from schemathesis import GenerationMode

_EXAMPLES = 25
# These ask a server elsewhere, which answers 502 where it cannot: that is not an error of ours.
_ASK_ELSEWHERE = {"POST /api/v1/prices/update"}


@pytest.mark.slow
def test_no_request_that_the_description_allows_is_an_error_of_the_server(tmp_path):
    with running_ledger(tmp_path, f"chdb://{tmp_path}/database") as ledger:
        base = f"http://127.0.0.1:{ledger.ports['api']}"
        schema = schemathesis.openapi.from_dict(httpx.get(f"{base}/openapi.json", trust_env=False).json())
        operations = [found.ok() for found in schema.get_all_operations()]
        answers = {
            (operation.label, mode): _ask(operation, base, mode)
            for operation in operations
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
            if operation.label not in _ASK_ELSEWHERE
        }
        assert ledger.get("/readyz") == {"status": "ready"}
    right = {label: found for (label, mode), found in answers.items() if mode is GenerationMode.POSITIVE}
    assert all(right.values()), right
    assert 400 in set().union(*answers.values())


def _ask(operation, base, mode):
    """The kinds of answers there were."""
    found = set()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        answer = case.call(base_url=base, timeout=60)
        found.add(answer.status_code)
        assert answer.status_code < 500, f"{operation.label}: {answer.status_code} {answer.text}"

    with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
        ask()
    return found
