"""What the routes of stats and facets take, each with the words that say what is allowed."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SkipValidation

from spanledger.query_api.parameters import ALLOWED, MOST_TRACES, Text
from spanledger.query_api.search.conditions import LEVELS, All, Level
from spanledger.query_api.search.parameters import SpanFilter
from spanledger.query_api.search.where import read_span_where
from spanledger.query_api.stats.buckets import BUCKETS, Bucket, zone_of
from spanledger.query_api.stats.facets import Asked as FacetsAsked
from spanledger.query_api.stats.measures import MEASURES, Measure, Of, Order
from spanledger.query_api.stats.stats import GROUPS, Asked, GroupBy
from spanledger.schemas.search_api import SpanWhere

_TIME_ZONE_FORM = "an IANA name, such as Europe/Berlin"
ALLOWED_IN_STATS = {
    "of": "calls, spans",
    "group_by": f"{', '.join(GROUPS)}; repeated: by all of them together",
    "bucket": ", ".join(BUCKETS),
    "time_zone": _TIME_ZONE_FORM,
    "order_by": "calls, spans, errors, cost_usd, unpriced_calls, input_tokens, output_tokens, total_tokens, "
    "duration_p50, duration_p95, duration_p99, duration_max",
    "level": ", ".join(LEVELS),
    "measure": f"{', '.join(MEASURES)}; repeated",
}


def _zone(name: str) -> str:
    zone_of(name)
    return name


class StatsParameters(SpanFilter):
    """Of which calls or spans, and how they are grouped."""

    of: Of = Field("calls", description="calls: each call once; spans: each span, calls or not.")
    group_by: list[GroupBy] = Field([], description=f"A row for each: {ALLOWED_IN_STATS['group_by']}.")
    bucket: Bucket | None = Field(None, description="A row for each of these, those without calls as well.")
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        "UTC", description=f"Whose clocks and days the buckets are of: {_TIME_ZONE_FORM}."
    )
    order_by: Order = Field("calls", description="Groups with most of this come first; of equal ones by key.")
    limit: int = Field(
        20, ge=1, le=MOST_TRACES, description=f"Groups; the rest is `other`: {ALLOWED['limit']}."
    )
    measure: list[Measure] = Field([], description="Only these, besides calls and errors; else all.")

    def asked(self) -> Asked:
        return Asked(
            since_ns=self.since_ns,
            until_ns=self.until_ns,
            condition=self.condition(),
            of=self.of,
            group_by=tuple(dict.fromkeys(self.group_by)),
            bucket=self.bucket,
            zone=ZoneInfo(self.time_zone),
            order=self.order_by,
            limit=self.limit,
            measures=tuple(measure for measure in MEASURES if measure in self.measure) or MEASURES,
        )


class StatsRequest(StatsParameters):
    """The same as JSON, with conditions as a tree as well."""

    where: SkipValidation[SpanWhere] | None = Field(
        None, description="A tree of conditions, which the same span must fulfil as well; null: none."
    )

    def asked(self) -> Asked:
        asked = super().asked()
        return asked._replace(condition=All([asked.condition, read_span_where(self.where)]))


class FacetParameters(SpanFilter):
    """Of which spans, and how many values."""

    limit: int = Field(20, ge=1, le=MOST_TRACES, description=f"Values of each: {ALLOWED['limit']}.")

    def asked(self) -> FacetsAsked:
        return FacetsAsked(self.since_ns, self.until_ns, self.condition(), self.limit)


class AttributeParameters(FacetParameters):
    """Of which spans and attributes, and how many values."""

    key: Text | None = Field(None, description="Only attributes that are called so.")
    level: Level | None = Field(None, description=f"Only attributes at this level: {', '.join(LEVELS)}.")

    def asked(self) -> FacetsAsked:
        return super().asked()._replace(key=self.key, level=self.level)
