"""Fetches the current price list of genai-prices, from the one address that is set for it.

Nothing that a request says has a part in where it is asked for.
"""

from __future__ import annotations

import http.client
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from spanledger.schemas.errors import SpanledgerError
from spanledger.schemas.settings import is_loopback

MOST_BYTES = 16 << 20  # of a list that is sent or fetched; those of today have 2
_ANSWER_S = 20


class NotFetchedError(SpanledgerError):
    """The address of the price list does not give it."""

    http_status = 502
    title = "Price list not to be had"


class _OnlyHttps(HTTPRedirectHandler):
    """Follows to where the first address may lead, and nowhere else."""

    def redirect_request(  # noqa: PLR0917 - as it is called
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        parts = urlsplit(newurl)
        before = is_loopback(urlsplit(req.full_url).hostname or "")
        if parts.scheme != "https" and not (before and is_loopback(parts.hostname or "")):
            raise NotFetchedError(f"{_shown(req.full_url)} leads to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_list(url: str) -> bytes:
    """The file at an address, which is https or on loopback. NotFetchedError says why it cannot be had."""
    # What stands between this machine and others does not stand between its own programs.
    direct = [ProxyHandler({})] if is_loopback(urlsplit(url).hostname or "") else []
    try:
        with build_opener(_OnlyHttps, *direct).open(url, timeout=_ANSWER_S) as answer:
            text: bytes = answer.read(MOST_BYTES + 1)
    except HTTPError as error:
        reason = f"it answers {error.code} {error.reason}"
    except URLError as error:
        reason = str(error.reason)
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
    else:
        if len(text) <= MOST_BYTES:
            return text
        reason = f"it has more than {MOST_BYTES >> 20} MiB"
    raise NotFetchedError(
        f"{_shown(url)} cannot be had ({reason}); without the network, send a file to "
        "POST /api/v1/prices/import (`spanledger prices import FILE`)"
    )


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
