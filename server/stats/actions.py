"""What `spanledger stats` does: it asks the API and shows its answer."""

from __future__ import annotations

import argparse

from spanledger.server.reading import Api, show
from spanledger.server.search.actions import filters
from spanledger.server.stats.views import chart, table


def show_stats(api: Api, chosen: argparse.Namespace) -> int:
    """Print what the calls that the flags mean amount to."""
    bucket = chosen.bucket or ("day" if chosen.plot else None)
    query: dict[str, object] = {
        "of": "spans" if chosen.spans else "calls",
        "group_by": chosen.by,
        "bucket": bucket,
        "time_zone": chosen.zone,
        "order_by": chosen.order,
        "limit": chosen.limit,
    }
    given = {name: value for name, value in query.items() if value is not None}
    answer = api.get("/api/v1/stats", **given, **filters(chosen))
    show(chart(answer, chosen.plot) if chosen.plot else table(answer))
    return 0
