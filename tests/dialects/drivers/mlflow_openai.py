"""MLflow's tracing of the OpenAI SDK, exported by OTLP instead of to MLflow."""

from __future__ import annotations

import time
from typing import Any

import mlflow
import openai
from scenario import CONVERSATION, USER, openai_chat, openai_others


def main() -> None:
    mlflow.openai.autolog()
    client = openai.OpenAI(max_retries=0)
    in_a_trace(openai_chat, client)
    in_a_trace(openai_others, client)
    time.sleep(1)  # its exporter is flushed by time alone


def in_a_trace(steps: Any, client: openai.OpenAI) -> None:
    """Session and user belong to a trace in MLflow."""
    with mlflow.start_span("harbour"):
        mlflow.update_current_trace(session_id=CONVERSATION, user=USER)
        steps(client)


if __name__ == "__main__":
    main()
