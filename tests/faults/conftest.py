"""A database for a test, embedded or on a server that can be made to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import ClickHouse, running_clickhouse


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of an embedded database that is not there yet."""
    return f"chdb://{tmp_path / 'database'}"


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    with running_clickhouse(tmp_path) as clickhouse:
        yield clickhouse
