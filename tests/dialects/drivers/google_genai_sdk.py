"""The Google GenAI SDK under the instrumentations that are named as arguments, in that order."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from google import genai
from google.genai import errors, types
from scenario import CONVERSATION, SCENARIO, tracing

MODEL = "gemini-2.5-flash"


@contextlib.contextmanager
def by_opentelemetry() -> Any:
    from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor
    from opentelemetry.util.genai.handler import TelemetryHandler

    GoogleGenAiSdkInstrumentor().instrument()
    with TelemetryHandler().invoke_local_agent(agent_name="harbour", conversation_id=CONVERSATION):
        yield


@contextlib.contextmanager
def by_traceloop() -> Any:
    from opentelemetry.instrumentation.google_generativeai import GoogleGenerativeAiInstrumentor

    GoogleGenerativeAiInstrumentor().instrument()
    yield


INSTRUMENTATIONS = {"genai": by_opentelemetry, "traceloop": by_traceloop}


def converse(client: genai.Client) -> None:
    models = client.models
    system = types.GenerateContentConfig(system_instruction=SCENARIO["system"])
    models.generate_content(model=MODEL, contents=SCENARIO["question"], config=system)
    for _chunk in models.generate_content_stream(model=MODEL, contents=SCENARIO["question"], config=system):
        pass
    tool = SCENARIO["tool"]
    declared = types.FunctionDeclaration(
        name=tool["name"], description=tool["description"], parameters_json_schema=tool["parameters"]
    )
    config = types.GenerateContentConfig(
        system_instruction=SCENARIO["system"], tools=[types.Tool(function_declarations=[declared])]
    )
    asked = types.Content(role="user", parts=[types.Part(text=SCENARIO["tool_question"])])
    answer = models.generate_content(model=MODEL, contents=[asked], config=config)
    result = types.Part.from_function_response(
        name=tool["name"], response={"result": SCENARIO["tool_result"]}
    )
    called = answer.candidates[0].content
    models.generate_content(
        model=MODEL, contents=[asked, called, types.Content(role="user", parts=[result])], config=config
    )
    with contextlib.suppress(errors.ClientError):
        models.generate_content(model=MODEL, contents=SCENARIO["failing_question"])


def main(names: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(tracing())
        for name in names:
            stack.enter_context(INSTRUMENTATIONS[name]())
        converse(genai.Client())


if __name__ == "__main__":
    main(sys.argv[1:])
