"""What the routes of SQL take, in words for who sends something else."""

from __future__ import annotations

from typing import get_args

from spanledger.query_api.sql.analysis import ONE_SELECT
from spanledger.query_api.sql.clients import MOST_ROWS
from spanledger.schemas.sql_api import SqlFormat

# What is called as a parameter of another room and has other bounds is checked by hand.
FORMATS: tuple[SqlFormat, ...] = get_args(SqlFormat)
LIMIT_FORM = f"a whole number from 1 to {MOST_ROWS}"
PARAMETER_FORM = "strings, numbers, true, false, null, and arrays of these, by name"
ALLOWED_OF_SQL = {
    "query": f"{ONE_SELECT}, of up to 100000 characters",
    "parameters": PARAMETER_FORM,
}
