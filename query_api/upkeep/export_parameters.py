"""The parameters of export and import."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spanledger.query_api.parameters import Time
from spanledger.query_api.times import TIME_FORM
from spanledger.query_api.upkeep.export import Format, TableName

ALLOWED_OF_EXPORT = {"table": "spans or logs"}
_LATEST_NS = (1 << 63) - 1


class ExportParameters(BaseModel):
    """What is exported, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format = Field(
        "jsonl",
        description="jsonl and parquet: rows as they are stored, with every column, which can be imported. "
        "otlp: lines of OTLP/JSON, for any collector.",
    )
    table: TableName = Field("spans", description="spans or logs.")
    start: Time | None = Field(None, description=f"What starts at this time or later: {TIME_FORM}.")
    end: Time | None = Field(None, description=f"What starts before this time: {TIME_FORM}.")

    @model_validator(mode="after")
    def _time_runs_forward(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start must be before end")
        return self

    def until_ns(self) -> int:
        return _LATEST_NS if self.end is None else self.end


class ImportFileParameters(BaseModel):
    """What the file is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["jsonl", "parquet"] = Field("jsonl", description="As it was exported.")
