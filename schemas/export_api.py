"""What import answers."""

from __future__ import annotations

from pydantic import Field

from spanledger.schemas.api import Answer


class ImportedRows(Answer):
    """A file that was imported."""

    table: str = Field(description="spans or logs.")
    rows: int = Field(description="The rows of the file; all are stored now but those that follow.")
    deleted: int = Field(description="Rows that are not stored: their trace was deleted.")
    expired: int = Field(description="Rows that are not stored: they are older than the project keeps.")
