"""What the routes of SQL take, in words for who sends something else."""

from __future__ import annotations

from typing import get_args

from spanledger.query_api.sql.clients import MOST_ROWS
from spanledger.schemas.sql_api import SqlFormat

# Parameters of other rooms are called so, too, and have other bounds: these are checked by hand.
FORMATS: tuple[SqlFormat, ...] = get_args(SqlFormat)
LIMIT_FORM = f"a whole number from 1 to {MOST_ROWS}"
PARAMETER_FORM = "strings, numbers, true, false, null, and arrays of these, by name"
