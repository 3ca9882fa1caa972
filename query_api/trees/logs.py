"""Log records of a trace, where they hold the messages of its spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from spanledger.query_api.messages.events import CHOICE, DETAILS, MESSAGES
from spanledger.query_api.problems import TraceTooLarge
from spanledger.query_api.values import merged, typed

MOST_RECORDS = 250_000

# Records of no span are nobody's messages.
LOGS_SQL = """
SELECT lower(hex(span_id)) AS span, event_name, body, content_string, content_json
FROM logs FINAL
WHERE project = {project:String} AND trace_id = toFixedString(unhex({trace_id:String}), 16)
    AND event_name IN {names:Array(String)} AND span_id != toFixedString('', 8)
ORDER BY time, id
LIMIT {most:UInt32}
"""

Record = Mapping[str, Any]


def read_logs(client: Client, project: str, trace_id: str) -> dict[str, list[Record]]:
    """By span id the records with messages, in the order of their time: `{event_name, body, attributes}`."""
    parameters = {
        "project": project,
        "trace_id": trace_id,
        "names": [DETAILS, CHOICE, *MESSAGES],
        "most": MOST_RECORDS + 1,
    }
    result = client.query(LOGS_SQL, parameters=parameters)
    if result.row_count > MOST_RECORDS:
        raise TraceTooLarge(f"Trace {trace_id} has more than {MOST_RECORDS:,} log records with messages")
    found: dict[str, list[Record]] = {}
    for row in result.named_results():
        record = {
            "event_name": row["event_name"],
            "body": typed(row["body"]) if row["body"] else None,
            "attributes": merged(row["content_string"], {}, {}, {}, row["content_json"]),
        }
        found.setdefault(row["span"], []).append(record)
    return found
