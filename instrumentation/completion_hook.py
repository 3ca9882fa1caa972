"""Cost, session and user on the spans of OpenTelemetry's own instrumentations.

Those are built on `opentelemetry-util-genai`, which calls one hook before it ends a span. Ours is found under
the name `spanledger` in the group `opentelemetry_genai_completion_hook`:

    OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK=spanledger
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from spanledger.instrumentation import cost
from spanledger.instrumentation.calls import Usage, usage_of
from spanledger.instrumentation.context import ambient
from spanledger.instrumentation.quiet import quietly
from spanledger.schemas import attributes as names
from spanledger.schemas.hosts import provider_of

# What an agent or a workflow says it used is the sum of calls that have spans of their own.
_PRICED = {
    names.OPERATION_CHAT,
    names.OPERATION_TEXT_COMPLETION,
    names.OPERATION_GENERATE_CONTENT,
    names.OPERATION_EMBEDDINGS,
}


class LedgerCompletionHook:
    """Adds to a span that is about to end what the context says of it and what the call cost."""

    def __init__(self) -> None:
        cost.preload()

    def on_completion(self, *, span: Any = None, **_content: Any) -> None:
        """Called by util-genai with the live span and the content, which is left alone."""
        with quietly("completing another instrumentation's span"):
            present = getattr(span, "attributes", None)
            if not isinstance(present, Mapping) or not span.is_recording():
                return
            found: dict[str, Any] = {}
            if present.get(names.OPERATION_NAME) in _PRICED and names.COST_TOTAL not in present:
                found.update(_cost(present, span))
            here = ambient()
            found.update(here)
            if names.SESSION_ID in here:
                found[names.CONVERSATION_ID] = here[names.SESSION_ID]
            # What the instrumentation or the application set says more than what the context says.
            span.set_attributes({key: value for key, value in found.items() if key not in present})


def _cost(present: Mapping[str, Any], span: Any) -> Mapping[str, Any]:
    usage: Usage | None = usage_of(present)
    started = getattr(span, "start_time", None)
    when = datetime.fromtimestamp(started / 1e9, UTC) if started else datetime.now(UTC)
    # Several of them say "openai" of every server that speaks its protocol.
    provider = provider_of(str(present.get(names.SERVER_ADDRESS, ""))) or present.get(names.PROVIDER_NAME)
    models = (present.get(names.RESPONSE_MODEL), present.get(names.REQUEST_MODEL))
    tier = present.get(names.OPENAI_RESPONSE_SERVICE_TIER)
    return cost.cost_attributes(str(provider), models, usage, when, tier)
