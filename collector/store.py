"""Writes requests into ClickHouse: frames their bytes and sends them as one insert.

Nothing is decoded here. A request is put into an Envelope (schemas/otlp.proto) by writing tags and
lengths around its bytes; ClickHouse parses the envelopes, and the views behind the table `ingest` turn
them into rows of `spans`.
"""

from __future__ import annotations

import logging
import struct
from importlib.resources import files

from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.schemas.database import Target, connect
from spanledger.schemas.errors import BadData, Busy

_log = logging.getLogger("spanledger.collector")
_COLUMNS = ["project", "received_at", "request", "rewritten"]


def _insert_settings(*, embedded: bool) -> dict[str, object]:
    proto = files("spanledger.schemas").joinpath("otlp.proto")
    # A schema sent as text is cached in a file, by the embedded engine in the working directory; a server
    # has no other way to get it.
    schema = ("file", str(proto)) if embedded else ("string", proto.read_text())
    return {
        "format_schema_source": schema[0],
        "format_schema": schema[1],
        "format_schema_message_name": "Envelope",
        "input_format_protobuf_oneof_presence": 1,
        # The answer to the sender means "committed": the insert must not be queued behind our back.
        "async_insert": 0,
        # Merging duplicates while inserting costs more than the rest of the write; reads use FINAL anyway.
        "optimize_on_insert": 0,
        # A replayed backlog may span many days.
        "max_partitions_per_insert_block": 0,
        # Time spent on analysing the views, of which every insert pays all.
        "optimize_and_compare_chain": 0,
        "query_plan_merge_expressions": 0,
    }


# ClickHouse error codes that say something about the data, not about the server.
_DATA_ERRORS = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        36,  # BAD_ARGUMENTS, which its protobuf reader says too
        69,  # ARGUMENT_OUT_OF_BOUND
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        407,  # DECIMAL_OVERFLOW
        434,  # CANNOT_PARSE_PROTOBUF_SCHEMA and what the reader says of corrupt messages
        436,  # PROTOBUF_BAD_CAST
        444,  # UNKNOWN_PROTOBUF_FORMAT
    }
)


def envelope(request: bytes, *, project: str, received_at_ns: int, rewritten: bool = False) -> bytes:
    """The request as one length-prefixed Envelope; envelopes concatenate into one insert."""
    name = project.encode()
    head = b"\x0a" + _varint(len(name)) + name + b"\x11" + struct.pack("<Q", received_at_ns)
    if rewritten:
        head += b"\x20\x01"
    head += b"\x1a" + _varint(len(request))
    return _varint(len(head) + len(request)) + head + request


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Store:
    """Inserts envelopes through a client of its own; not for two threads at once."""

    def __init__(self, target: Target, *, timeout_s: float = 5.0) -> None:
        self._client = connect(target.with_timeouts(connect_s=timeout_s, answer_s=timeout_s))
        self._settings = _insert_settings(embedded=target.embedded)

    def insert(self, envelopes: list[bytes]) -> None:
        """Commit all envelopes or none. BadData: some of their bytes; Busy: the database."""
        try:
            self._client.raw_insert(
                "ingest", _COLUMNS, b"".join(envelopes), settings=self._settings, fmt="Protobuf"
            )
        except ClickHouseError as error:
            # Its text names files, addresses and statements: for the log, not for whoever sent the data.
            _log.warning("an insert failed: %.500s", error)
            if getattr(error, "code", None) in _DATA_ERRORS:
                raise BadData(
                    f"ClickHouse cannot read this request ({getattr(error, 'name', None)})"
                ) from error
            raise Busy("the database does not take the insert") from error

    def close(self) -> None:
        self._client.close()
