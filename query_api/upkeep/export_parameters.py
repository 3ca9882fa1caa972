"""The parameters of export and import."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spanledger.query_api.search.parameters import Range
from spanledger.query_api.upkeep.export import Format, TableName

ALLOWED_OF_EXPORT = {"table": "spans or logs"}


class ExportParameters(Range):
    """What is exported, and how."""

    format: Format = Field(
        "jsonl",
        description="jsonl and parquet: rows as they are stored, with every column, which can be imported. "
        "otlp: lines of OTLP/JSON, for any collector.",
    )
    table: TableName = Field("spans", description="spans or logs.")


class ImportFileParameters(BaseModel):
    """What the file is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["jsonl", "parquet"] = Field("jsonl", description="As it was exported.")
