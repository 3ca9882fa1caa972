"""`spanledger prices` on an API behind a real port."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spanledger.server.cli import main


@pytest.fixture
def prices(serving: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `spanledger prices` with these arguments; what it prints, without blanks at the ends of lines."""
    url = serving()

    def prices(*arguments: str, code: int = 0) -> str:
        found = main(["prices", *arguments, "--api", url])
        shown = capsys.readouterr()
        assert found == code, shown
        assert (code == 2) == (shown.out == ""), shown
        return "\n".join(line.rstrip() for line in (shown.out + shown.err).splitlines())

    return prices
