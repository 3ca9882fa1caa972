"""Runs in the user's process: patches provider clients and emits completion spans."""

from spanledger.instrumentation.context import (
    attributes_for,
    experiment,
    metadata,
    session,
    tags,
    user,
)
from spanledger.instrumentation.evaluation import feedback, score
from spanledger.instrumentation.export import Dropped, dropped
from spanledger.instrumentation.setup import instrument, uninstrument
from spanledger.instrumentation.structure import agent, tool, workflow

__all__ = [
    "Dropped",
    "agent",
    "attributes_for",
    "dropped",
    "experiment",
    "feedback",
    "instrument",
    "metadata",
    "score",
    "session",
    "tags",
    "tool",
    "uninstrument",
    "user",
    "workflow",
]
