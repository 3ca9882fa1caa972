"""Models without a price: what the calls of unknown cost name, and why that says nothing."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from spanledger.query_api.times import format_time
from spanledger.schemas.price_api import Unpriced, UnpricedModel

UNPRICED_SQL = """
SELECT
    toString(provider) AS by_provider,
    toString(if(response_model = '', request_model, response_model)) AS by_model,
    toString(cost_reason) AS by_reason,
    count() AS calls,
    sum(toUInt128(ifNull(input_tokens, 0))) AS input,
    sum(toUInt128(ifNull(output_tokens, 0))) AS output,
    toUnixTimestamp64Nano(min(start_time)) AS first_ns,
    toUnixTimestamp64Nano(max(start_time)) AS last_ns
FROM spans FINAL
WHERE project = {project:String} AND counted AND cost_usd IS NULL
    AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
GROUP BY by_provider, by_model, by_reason
ORDER BY calls DESC, last_ns DESC, by_provider, by_model, by_reason
LIMIT {most:UInt32}
"""


def unpriced_models(client: Client, project: str, since_ns: int, until_ns: int, *, limit: int) -> Unpriced:
    """Up to `limit` of them, of the calls that began in a time."""
    parameters = {"project": project, "since": since_ns, "until": until_ns, "most": limit + 1}
    rows = client.query(UNPRICED_SQL, parameters=parameters).result_rows
    models = [
        UnpricedModel(
            provider=provider or None,
            model=model or None,
            reason=reason,
            calls=calls,
            input_tokens=used,
            output_tokens=made,
            first_seen=format_time(first_ns),
            last_seen=format_time(last_ns),
        )
        for provider, model, reason, calls, used, made, first_ns, last_ns in rows[:limit]
    ]
    return Unpriced(models=models, more=len(rows) > limit)
