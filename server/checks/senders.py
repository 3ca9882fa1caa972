"""What a ledger that is running answered its senders, by its own counters."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from spanledger.schemas.settings import Settings
from spanledger.server.checks.finding import Finding, ok, warning
from spanledger.server.checks.running import ask

_FINE = frozenset({"ok", "partial"})
_ADVICE = {
    "unauthenticated": "give the sender the header `authorization: Bearer KEY` (SPANLEDGER_HEADERS, "
    "OTEL_EXPORTER_OTLP_HEADERS)",
    "permission_denied": "give the sender a key with the scope ingest (`spanledger keys create`)",
    "invalid_argument": "what is sent cannot be stored; the answer to the sender says why",
    "unavailable": "the database or the byte budget could not take them; see the log",
    "internal": "an error of spanledger; see the log",
    "cancelled": "senders gave up: their timeout is shorter than SPANLEDGER_STORE_TIMEOUT_S, or they stopped",
}


def check_senders(settings: Settings) -> list[Finding]:
    """A line for every kind of refusal since the ledger started."""
    answer = ask(settings, "/metrics")
    if answer.status != 200:
        return []
    refused = [
        finding
        for family in text_string_to_metric_families(answer.body)
        for sample in family.samples
        if sample.value and (finding := _refusal(sample))
    ]
    return refused or [ok("senders", "nobody was refused since the start")]


def _refusal(sample: Sample) -> Finding | None:
    labels = sample.labels
    if sample.name == "spanledger_spans_rejected_total":
        found = f"{sample.value:.0f} spans were rejected since the start: {labels['reason']}"
        return warning("senders", found, "mend what sends them")
    if sample.name == "spanledger_otlp_requests_total" and labels["outcome"] not in _FINE:
        found = f"{sample.value:.0f} requests over {labels['transport']} were answered {labels['outcome']}"
        return warning("senders", f"{found} since the start", _ADVICE.get(labels["outcome"], "see the log"))
    return None
