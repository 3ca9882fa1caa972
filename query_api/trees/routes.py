"""The route of one trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TraceId
from spanledger.query_api.trees import otlp, spans
from spanledger.query_api.trees.parameters import TreeFormat, TreeParameters
from spanledger.query_api.trees.tree import Text
from spanledger.schemas.api import TraceTree
from spanledger.schemas.errors import NotFound

trees = APIRouter(tags=["traces"])

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_AT_ONCE = 256  # parts, of a few KB each; about what a socket takes


class InParts(Response):
    """An answer that is there in parts: they are sent as they are, and nowhere put together whole."""

    def __init__(self, parts: Sequence[Text], media_type: str) -> None:
        length = str(sum(map(len, parts)))
        super().__init__(media_type=media_type, headers={"content-length": length})
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for first in range(0, len(self._parts), _AT_ONCE):
            body = b"".join(self._parts[first : first + _AT_ONCE])
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@trees.get(
    "/traces/{trace_id}",
    summary="A trace as a tree, or as OTLP",
    response_model=TraceTree,
    responses={200: {"content": {PROTOBUF: {}}}},
)
async def trace(
    request: Request, project: Project, trace_id: TraceId, parameters: Annotated[TreeParameters, Query()]
) -> Response:
    """Every span of the trace exactly once, in a tree that does not depend on the order of arrival.

    With `fields` spans have those groups of fields only; `-content` leaves out prompts and answers, which are
    not read then. With `format=otlp` it is what was sent, to be sent again.
    """
    readers, wanted = request.app.state.readers, trace_id.lower()
    if parameters.format == "json":
        groups = parameters.groups()
        parts = await readers.run(lambda client: spans.trace_json(client, project, wanted, groups))
        return InParts(parts, media_type=JSON)
    as_json = not _asks_for_protobuf(request)
    body = await readers.run(
        lambda client: trace_otlp(client, project, wanted, parameters.format, as_json=as_json)
    )
    return Response(body, media_type=JSON if as_json else PROTOBUF, headers={"Vary": "Accept"})


def _asks_for_protobuf(request: Request) -> bool:
    asked = (part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(","))
    return PROTOBUF in asked


def trace_otlp(client: Client, project: str, trace_id: str, what: TreeFormat, *, as_json: bool) -> bytes:
    """The spans or log records of a trace as OTLP. NotFound, or TraceTooLarge beyond what a tree may have."""
    if what == "otlp":
        rows = otlp.read_spans(client, project, trace_id, spans.MOST_SPANS)
        if not rows:
            raise NotFound(f"No trace {trace_id} is stored")
        return otlp.spans_otlp(rows, as_json=as_json)
    rows = otlp.read_logs(client, project, trace_id)
    if not rows:
        raise NotFound(f"No log records of trace {trace_id} are stored")
    return otlp.logs_otlp(rows, as_json=as_json)
