"""Loads published price lists into the tables: of the installed genai-prices, or from files."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from clickhouse_connect.driver.client import Client

from spanledger.schemas.errors import BadData
from spanledger.schemas.prices.genai import installed, read_genai, read_json
from spanledger.schemas.prices.litellm import read_litellm
from spanledger.schemas.prices.tables import GENAI, LITELLM, SOURCES, ListRow, insert_list, stored_lists

PRICE_VERSION = f"{GENAI} {version('genai-prices')}"
_READERS = {GENAI: read_genai, LITELLM: read_litellm}
_MOST_BYTES = 256 << 20
_FILE = " file "


def load_prices(client: Client) -> bool:
    """Put this release's price list into the tables unless it is there; return whether it was new.

    Two processes doing it at once store the same rows.
    """
    if any(row.price_version == PRICE_VERSION for row in stored_lists(client)):
        return False
    insert_list(client, PRICE_VERSION, GENAI, read_genai(installed()))
    return True


def load_file(client: Client, path: Path, source: str = GENAI) -> ListRow:
    """As `load_text` with what is in a file."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from None
    if len(text) > _MOST_BYTES:
        raise BadData(f"{path} is larger than {_MOST_BYTES >> 20} MiB")
    return load_text(client, text, source, str(path))


def load_text(client: Client, text: bytes, source: str = GENAI, name: str = "the price list") -> ListRow:
    """Store a list as the newest of its source, and return what the tables say of it.

    `source`: 'genai-prices' for its data.json (v2), 'litellm' for LiteLLM's
    model_prices_and_context_window.json. A list is named by what is in it, so that the same text is the
    same list however often it is loaded. BadData: what in it is wrong, behind its `name`; then nothing is
    stored.
    """
    if source not in _READERS:
        raise BadData(f"there is no source {source!r} of prices; allowed are {', '.join(SOURCES)}")
    try:
        listed = _READERS[source](read_json(text))
    except BadData as error:
        raise BadData(f"{name}: {error}") from None
    if not listed.models:
        raise BadData(f"{name} has no model with a price, as a list of {source} has")
    return insert_list(client, version_of_text(text, source), source, listed)


def version_of_text(text: bytes, source: str) -> str:
    """The name that a list has by what is in it."""
    return f"{source}{_FILE}{hashlib.sha256(text).hexdigest()[:12]}"


def of_file(price_version: str) -> bool:
    """Whether a list was loaded from a file: it is no release."""
    return _FILE in price_version
