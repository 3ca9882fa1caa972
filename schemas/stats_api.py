"""What the API answers about many calls at once: stats and facets.

Money is decimal strings, times are RFC 3339 UTC. `null` means that it is not known or that there is none; it
never stands for 0.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spanledger.schemas.api import Answer
from spanledger.schemas.search_api import Count

_COUNTED = "Spans that fulfil the conditions; where not `exact`, every count here is an estimate."
_SUM = "Sum over the calls that say it; null: none does."


class Spread(Answer):
    """Of the values of a group: each percentile is the value of one call, to seven digits."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    avg: float | None


class Speed(Answer):
    """Output tokens a second, of calls that made any."""

    median: float | None = Field(description="Of the calls, each by its own duration.")
    overall: float | None = Field(description="All of their output tokens by all of their time.")


class Measures(Answer):
    """What calls amount to. Measures that were not asked for are missing."""

    spans: int | None = Field(None, description="With of=spans: how many spans.")
    calls: int = Field(description="LLM and embedding calls, each once.")
    errors: int = Field(description="Those of the calls (of the spans, with of=spans) that failed.")
    input_tokens: int | None = Field(None, description=f"Cached ones included. {_SUM}")
    output_tokens: int | None = Field(None, description=f"Reasoning included. {_SUM}")
    total_tokens: int | None = Field(None, description="Input and output.")
    cache_read_tokens: int | None = Field(None, description=_SUM)
    cache_write_tokens: int | None = Field(None, description=_SUM)
    reasoning_tokens: int | None = Field(None, description=_SUM)
    input_audio_tokens: int | None = Field(None, description=_SUM)
    output_audio_tokens: int | None = Field(None, description=_SUM)
    cost_usd: str | None = Field(
        None, description="US dollars, of the calls whose cost is known; null: of none.", examples=["0.0421"]
    )
    unpriced_calls: int | None = Field(None, description="Calls that `cost_usd` leaves out.")
    duration_ms: Spread | None = Field(None, description="From start to end.")
    time_to_first_chunk_ms: Spread | None = Field(None, description="Of the calls that say it.")
    tokens_per_second: Speed | None = None


class TimeBucket(Measures):
    """A piece of time: what began from `start` until before `end`."""

    start: str
    end: str
    local_start: str = Field(
        description="`start` as the clocks of the time zone show it.", examples=["2026-03-29T00:00:00+01:00"]
    )


class Bucketed(Measures):
    """Measures, and the same by time."""

    buckets: list[TimeBucket] | None = Field(
        None, description="With `bucket`: every one of the time asked for, in order, also without calls."
    )


class Group(Bucketed):
    """Calls that have the same value of each field that they are grouped by."""

    key: dict[str, str | None] = Field(description="The values; null: not sent.")


class OtherGroups(Bucketed):
    """All calls of the groups that are not shown."""

    groups: int = Field(description="How many groups that is.")


class Stats(Answer):
    """Calls by group and by time."""

    of: Literal["calls", "spans"]
    group_by: list[str]
    bucket: str | None
    time_zone: str
    order_by: str
    groups: list[Group] = Field(description="Those with most of `order_by` first.")
    other: OtherGroups | None = Field(description="null: every group is shown.")
    total: Bucketed = Field(description="All calls; a call with two tags is one here.")


class FacetValue(Answer):
    """A value and how many spans have it."""

    value: str
    count: int


class Facet(Answer):
    """The most frequent values of a field."""

    field: str = Field(examples=["model"])
    values: list[FacetValue] = Field(description="Most frequent first.")
    more: bool = Field(description="There are more values than these.")


class Facets(Answer):
    """The values that spans have, for building filters."""

    spans: Count = Field(description=_COUNTED)
    facets: list[Facet]


class AttributeValue(Answer):
    """A value of an attribute and how many spans have it."""

    value: str | bool | int | float
    count: int


class AttributeKey(Answer):
    """An attribute at a level of spans."""

    key: str
    level: Literal["span", "resource", "scope", "event", "link"]
    types: list[str] = Field(
        description="string, int, double, bool, or other (arrays, maps, bytes); none: values are content, "
        "which is not read."
    )
    count: int = Field(description="Spans that have it.")
    values: list[AttributeValue] = Field(description="Most frequent first; long texts are left out.")
    more: bool = Field(description="There are more values than these.")


class AttributeFacets(Answer):
    """Attributes that spans have, most frequent first."""

    spans: Count = Field(description=_COUNTED)
    attributes: list[AttributeKey]
    more: bool = Field(description="There are more attributes than these.")
