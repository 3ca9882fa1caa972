"""What the routes of SQL take and answer, field by field."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from spanledger.schemas.api import Answer

SqlFormat = Literal["json", "json_arrays", "jsonl", "csv", "arrow", "parquet"]


class NewQuestion(BaseModel):
    """A question in SQL."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    query: str = Field(
        max_length=100_000,
        description="One SELECT in ClickHouse's SQL, over the views of GET /api/v1/sql/schema.",
        examples=["SELECT model, count(), sum(cost_usd) FROM llm_calls GROUP BY model"],
    )
    parameters: dict[str, Any] = Field(
        {},
        description="Values for `{name:Type}` in the query: strings, numbers, booleans, null, and arrays of "
        "them.",
        examples=[{"model": "gpt-4o"}],
    )
    format: str = Field(
        "json",
        json_schema_extra={"enum": list(get_args(SqlFormat))},
        description="json: `columns`, `rows` (objects) and `row_count`; json_arrays: the same, rows as "
        "arrays; jsonl: an object a line; csv: with a line of names; arrow: an Arrow stream; parquet: a "
        "file. In JSON integers of 64 bits and more and decimals are strings.",
    )
    limit: int | None = Field(
        None,
        description="At most so many rows, from 1 to 1000000. Without it a result of more rows is an error.",
    )
    start: str | None = Field(
        None,
        description="Only spans that began, and logs that were written, at this time or later (RFC 3339).",
    )
    end: str | None = Field(None, description="Only those before this time (RFC 3339).")


class SqlColumn(Answer):
    """A column of a result."""

    name: str
    type: str = Field(description="ClickHouse's type.", examples=["Nullable(Decimal(38, 18))"])


class SqlResult(Answer):
    """A result as JSON."""

    columns: list[SqlColumn]
    rows: list[Any] = Field(description="Objects by the columns' names; with `json_arrays` arrays.")
    row_count: int


class SqlViewColumn(SqlColumn):
    """A column of a view."""

    comment: str


class SqlView(Answer):
    """A table that SQL may read."""

    name: str
    comment: str
    columns: list[SqlViewColumn]


class SqlSchema(Answer):
    """The tables that SQL may read."""

    views: list[SqlView]
