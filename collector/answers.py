"""What is answered to an export request, the same whichever transport it came by."""

from __future__ import annotations

import logging
import traceback
from typing import Any
from uuid import uuid4

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from spanledger.collector.ingest import Written
from spanledger.collector.signals import Signal
from spanledger.schemas.errors import Busy, SpanledgerError

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

# gRPC clients refuse headers of more than 8 KiB, and a text stands there twice, once percent-encoded.
_MAX_TEXT_BYTES = 1000

_log = logging.getLogger("spanledger.collector")


def encode(message: Message, media_type: str) -> bytes:
    """The message in PROTOBUF or JSON."""
    if media_type == JSON:
        return MessageToJson(message, indent=None).encode()
    return message.SerializeToString()


def success(signal: Signal, written: Written) -> Message:
    """The signal's response: partial_success is set only where there is something to tell."""
    answer: Any = signal.response()
    if written.rejected or written.message:
        setattr(answer.partial_success, signal.rejected_field, written.rejected)
        answer.partial_success.error_message = short(written.message)
    assert isinstance(answer, Message)  # noqa: S101 - so that what comes in untyped does not go out so
    return answer


def refusal(error: Exception) -> SpanledgerError:
    """The error to answer with. What nobody expected is logged under an id, and the id is all that is told.

    Its own text is not logged either: it may quote what was sent. The error that is returned has no
    traceback: its frames hold the request, in a circle that only the garbage collector ends.
    """
    if isinstance(error, SpanledgerError) and error.http_status != SpanledgerError.http_status:
        return error.with_traceback(None)
    error_id = uuid4().hex
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("error %s: %s in an export request\n%s", error_id, type(error).__qualname__, where)
    return SpanledgerError(
        f"Something went wrong here, not with the request. The log has it under {error_id}."
    )


def status(error: SpanledgerError) -> Status:
    """The error as a google.rpc.Status; what is worth another try has a RetryInfo in its details."""
    answer = Status(code=Code.Value(error.grpc_code), message=short(str(error)))
    if isinstance(error, Busy):
        answer.details.add().Pack(retry_info(error))
    return answer


def retry_info(error: Busy) -> RetryInfo:
    """When to come again."""
    info = RetryInfo()
    info.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
    return info


def short(text: str) -> str:
    """The text, cut on a character where it is longer than an answer should be."""
    cut = text.encode()[:_MAX_TEXT_BYTES].decode(errors="ignore")
    return text if cut == text else f"{cut} ..."
