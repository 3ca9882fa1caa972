"""Runs in the user's process: patches provider clients and emits completion spans."""

from spanledger.instrumentation.context import (
    attributes_for,
    experiment,
    metadata,
    session,
    tags,
    user,
)
from spanledger.instrumentation.setup import instrument, uninstrument
from spanledger.instrumentation.structure import agent, tool, workflow

__all__ = [
    "agent",
    "attributes_for",
    "experiment",
    "instrument",
    "metadata",
    "session",
    "tags",
    "tool",
    "uninstrument",
    "user",
    "workflow",
]
