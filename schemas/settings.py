"""The settings: declared here once, read once at the root, passed in from there.

Each is the environment variable SPANLEDGER_<NAME> and the flag --<name> of `spanledger serve`.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from spanledger.schemas.errors import Misconfigured

MIB = 1024 * 1024


def split_listen(value: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as its two parts; raises ValueError naming what is wrong."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{value!r} is not host:port (like 127.0.0.1:4317)")
    return host.strip("[]"), int(port)


def _checked_listen(value: str) -> str:
    split_listen(value)
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant by a host, an address or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked_key(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError("a key must not be empty")
    return value


Listen = Annotated[str, AfterValidator(_checked_listen)]
ApiKey = Annotated[SecretStr, AfterValidator(_checked_key)]


class Settings(BaseSettings):
    """What can be set, with its default and what it means."""

    model_config = SettingsConfigDict(env_prefix="SPANLEDGER_", extra="ignore", frozen=True)

    database: str = Field(
        "chdb://spanledger-data",
        description="chdb://FOLDER (embedded), clickhouse://USER:PASSWORD@HOST:PORT/DATABASE or "
        "clickhouses://... (TLS).",
    )
    grpc_listen: Listen = Field("127.0.0.1:4317", description="Address of OTLP over gRPC.")
    api_listen: Listen = Field(
        "127.0.0.1:8000",
        description="Address of the query API; of a collector that runs alone, its health and metrics.",
    )
    api_key: ApiKey | None = Field(
        None,
        description="Key that every call but the health checks must carry as `Authorization: Bearer KEY`. "
        "Needed to listen on anything but loopback.",
    )
    insecure: bool = Field(False, description="Listen beyond loopback without a key (closed networks only).")
    project: str = Field("default", min_length=1, description="Project that spans are stored under.")

    max_request_bytes: int = Field(
        64 * MIB, ge=1024, description="Largest OTLP request, counted after decompression."
    )
    queue_bytes: int = Field(
        256 * MIB,
        ge=1024,
        description="Requests that wait for their insert, in bytes; beyond it: UNAVAILABLE.",
    )
    batch_bytes: int = Field(32 * MIB, ge=1024, description="Largest insert, in bytes of requests.")
    batch_spans: int = Field(32_768, ge=1, description="Largest insert, in spans.")
    batch_wait_ms: int = Field(
        100, ge=0, le=1000, description="How long an insert waits for company while another one is running."
    )
    insert_workers: int = Field(2, ge=1, le=16, description="Inserts in flight at once.")
    store_timeout_s: float = Field(
        5.0, gt=0, le=9, description="How long an insert may take before its senders are told to come again."
    )
    shutdown_timeout_s: float = Field(10.0, gt=0, description="How long a stop may take.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )

    @model_validator(mode="after")
    def _closed_unless_opened(self) -> Self:
        if self.api_key is None and not self.insecure:
            for name in ("grpc_listen", "api_listen"):
                host, _ = split_listen(getattr(self, name))
                if not is_loopback(host):
                    raise ValueError(
                        f"SPANLEDGER_{name.upper()} is {getattr(self, name)}, beyond loopback: set "
                        "SPANLEDGER_API_KEY, or SPANLEDGER_INSECURE=true where nobody else can connect"
                    )
        return self


# Read by the instrumentation, which may run in the same environment.
INSTRUMENTATION_VARIABLES = ("SPANLEDGER_ENDPOINT", "SPANLEDGER_HEADERS", "SPANLEDGER_CAPTURE_CONTENT")


def read_settings(**overrides: Any) -> Settings:
    """The settings from `overrides` (flags), then the environment, then the defaults.

    Raises Misconfigured naming each wrong setting, its value and what is allowed, and each variable that
    looks like a setting and is none: a misspelt SPANLEDGER_API_KEY would leave the door open.
    """
    known = [f"SPANLEDGER_{name.upper()}" for name in Settings.model_fields]
    for variable in os.environ:
        if variable.startswith("SPANLEDGER_") and variable not in (*known, *INSTRUMENTATION_VARIABLES):
            near = get_close_matches(variable, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; `spanledger settings` lists them"
            raise Misconfigured(f"{variable} is not a setting{hint}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise Misconfigured("; ".join(_explain(item) for item in error.errors())) from None


def _explain(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    return f"SPANLEDGER_{str(error['loc'][0]).upper()}={error['input']!r}: {message}"
