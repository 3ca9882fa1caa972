"""A ledger that is running, asked from outside: by HTTP what it says of itself, by gRPC whether it receives.

Where TLS is set up for the listeners, `_connection` and `_channel` are the two places that must speak it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

import grpc
from pydantic import ValidationError

from spanledger.schemas.api import LedgerState
from spanledger.schemas.settings import Settings, split_listen

_PATIENCE_S = 5.0
_STATUS_S = 20.0
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Answer:
    """What came back: 0 where nothing did, and why."""

    status: int
    body: str = ""
    why: str = ""

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def ask(settings: Settings, path: str, *, timeout_s: float = _PATIENCE_S) -> Answer:
    """GET a path of the query API where the settings say it is, with their key."""
    connection = _connection(settings, timeout_s)
    headers = {"Authorization": f"Bearer {_key(settings)}"} if _key(settings) else {}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(errors="replace"))
    except TimeoutError:
        return Answer(0, why=f"no answer within {timeout_s:g} s")
    except (OSError, HTTPException) as error:
        return Answer(0, why=getattr(error, "strerror", None) or type(error).__name__)
    finally:
        connection.close()


def ask_state(settings: Settings) -> tuple[Answer, LedgerState | None]:
    """`GET /api/v1/status`; None where the answer is none that this version knows."""
    answer = ask(settings, "/api/v1/status", timeout_s=_STATUS_S)
    try:
        return answer, LedgerState.model_validate_json(answer.body) if answer.status == 200 else None
    except ValidationError:
        return answer, None


def is_api(settings: Settings) -> Answer:
    """The answer of /healthz; status 200 only where it is that of spanledger."""
    answer = ask(settings, "/healthz")
    if answer.status == 200 and answer.json != {"status": "ok"}:
        return Answer(0, why="what answers is not spanledger")
    return answer


def export_nothing(settings: Settings) -> grpc.StatusCode:
    """Send an OTLP request without spans, which stores nothing, with the settings' key; the answer's code."""
    metadata = [("authorization", f"Bearer {_key(settings)}")] if _key(settings) else []
    with _channel(settings) as channel:
        try:
            channel.unary_unary(_EXPORT)(b"", timeout=_PATIENCE_S, metadata=metadata)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK


def _connection(settings: Settings, timeout_s: float) -> HTTPConnection:
    host, port = reachable(settings.api_listen)
    return HTTPConnection(host, port, timeout=timeout_s)


def _channel(settings: Settings) -> grpc.Channel:
    host, port = reachable(settings.grpc_listen)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


def reachable(listen: str) -> tuple[str, int]:
    """An address to listen on as one to connect to from this machine."""
    host, port = split_listen(listen)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104  (compared, not bound)


def _key(settings: Settings) -> str:
    return settings.api_key.get_secret_value() if settings.api_key else ""
