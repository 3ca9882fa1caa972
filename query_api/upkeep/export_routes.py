"""The routes of export and import."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from spanledger.query_api.access.callers import Project
from spanledger.query_api.upkeep.export import MEDIA_TYPES, Wanted, exported
from spanledger.query_api.upkeep.export_parameters import ExportParameters, ImportFileParameters
from spanledger.query_api.upkeep.importing import IMPORTERS, Sink
from spanledger.schemas.export_api import ImportedRows

export = APIRouter(tags=["export"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}


@export.get(
    "/export",
    summary="Spans or log records as a file",
    response_class=StreamingResponse,
    responses={200: {"content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY)}},
)
async def export_file(
    request: Request, project: Project, parameters: Annotated[ExportParameters, Query()]
) -> StreamingResponse:
    """Every row once, in a stable order, while others are written and merged. A stream that breaks off has no
    end that could be taken for one (`otlp` alone has none).
    """
    wanted = Wanted(project, parameters.table, parameters.since_ns, parameters.until_ns)
    name = f"spanledger-{parameters.table}.{'parquet' if parameters.format == 'parquet' else 'jsonl'}"
    return StreamingResponse(
        exported(request.app.state.analysts, wanted, parameters.format),
        media_type=MEDIA_TYPES[parameters.format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@export.post(
    "/import",
    summary="Store the rows of an export",
    response_model=ImportedRows,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A file that `/export` gave, as jsonl or parquet.",
            "content": {"application/octet-stream": _BINARY},
        }
    },
)
async def import_file(
    request: Request, project: Project, parameters: Annotated[ImportFileParameters, Query()]
) -> ImportedRows:
    """Rows become the caller's, whatever project they are of. Importing twice changes nothing. What was
    deleted, or is older than the project keeps, stays away.
    """
    state = request.app.state
    sink = Sink(state.writer, project, state.removals.now, state.import_memory)
    imported = await IMPORTERS[parameters.format](sink, request.stream())
    return ImportedRows.model_validate(imported._asdict())
