"""The settings: declared here once, read once at the root, passed in from there.

Each is the environment variable SPANLEDGER_<NAME> and the flag --<name> of `spanledger serve`.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from spanledger.schemas.errors import Misconfigured

MIB = 1024 * 1024
_PREFIX = "SPANLEDGER_"


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


def _split_origins(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(origin.strip() for origin in value.split(",") if origin.strip())


def _checked_origins(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for origin in value or ():
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is neither * nor an origin (like https://app.example.org)")
    return value


def _checked_source(value: str) -> str:
    try:
        parts = urlsplit(value)
        fits = bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        )
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("need https://..., or http://... on loopback")
    return value


# As browsers send it: no path, no user, the host in lower case.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

Listen = Annotated[str, AfterValidator(_checked_listen)]
Origins = Annotated[
    tuple[str, ...] | None, NoDecode, BeforeValidator(_split_origins), AfterValidator(_checked_origins)
]
FetchedUrl = Annotated[str, AfterValidator(_checked_source)]
ApiKey = Annotated[SecretStr, AfterValidator(_checked_key)]


class Settings(BaseSettings):
    """What can be set, with its default and what it means."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True)

    database: str = Field(
        "chdb://spanledger-data",
        description="chdb://FOLDER (embedded), clickhouse://USER:PASSWORD@HOST:PORT/DATABASE or "
        "clickhouses://... (TLS).",
    )
    sql_database: str | None = Field(
        None,
        min_length=1,
        description="The same ClickHouse server and database by a user who may only read, for the queries of "
        "`POST /api/v1/sql`: clickhouse://USER:PASSWORD@HOST:PORT/DATABASE. Not set: as SPANLEDGER_DATABASE.",
    )
    grpc_listen: Listen = Field("127.0.0.1:4317", description="Address of OTLP over gRPC.")
    otlp_http_listen: Listen = Field("127.0.0.1:4318", description="Address of OTLP over HTTP.")
    api_listen: Listen = Field(
        "127.0.0.1:8000",
        description="Address of the query API; of a collector that runs alone, its health and metrics.",
    )
    api_key: ApiKey | None = Field(
        None,
        description="Root key: good for everything, in every project. Once it is set, or the ledger has keys "
        "of its own, every call but the health checks must carry one as `Authorization: Bearer KEY`. One is "
        "needed to listen on anything but loopback.",
    )
    insecure: bool = Field(False, description="Listen beyond loopback without a key (closed networks only).")
    tls_certificate: str | None = Field(
        None,
        min_length=1,
        description="File with the certificate and its chain (PEM). With it gRPC, OTLP over HTTP and the API "
        "speak TLS only.",
    )
    tls_key: str | None = Field(
        None, min_length=1, description="File with the certificate's private key (PEM, no passphrase)."
    )
    tls_client_ca: str | None = Field(
        None,
        min_length=1,
        description="File with the authorities (PEM) of which every client must show a certificate, for the "
        "health checks too.",
    )
    project: str = Field("default", min_length=1, description="Project that spans are stored under.")

    max_request_bytes: int = Field(
        64 * MIB, ge=1024, description="Largest OTLP request, counted after decompression."
    )
    max_attribute_value_bytes: int = Field(
        MIB,
        ge=16,
        description="Longest attribute value; the rest is cut off, on a whole character, and the key noted "
        "in `attributes_cut`. Prompts, completions, tool traffic and bodies of log records are kept whole.",
    )
    max_attributes: int = Field(
        1024,
        ge=1,
        le=65_536,
        description="Most attributes of a span or log record (resource, scope, event, link); "
        "more are dropped.",
    )
    max_attribute_key_length: int = Field(
        256,
        ge=1,
        description="Longest attribute key, in characters; an attribute with a longer one is dropped.",
    )
    max_attribute_depth: int = Field(
        32,
        ge=1,
        le=128,
        description="How deep values may nest; a span or log record with deeper ones is rejected.",
    )
    cost_preference: Literal["provider", "reported", "computed"] = Field(
        "provider",
        description="Which cost of a call counts: provider (what the provider billed, else what is computed, "
        "else what the application reported), reported (what was reported, else computed) or computed (else "
        "reported).",
    )
    prices_url: FetchedUrl = Field(
        "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json",
        description="Where `spanledger prices update` fetches the price list: at genai-prices' own address, "
        "or at another that has the same file; https, or http on loopback.",
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="How many days spans and log records are kept of projects that have no setting of their "
        "own (`spanledger retention`); not set: for ever.",
    )
    replay_window_s: float = Field(
        300.0,
        ge=0,
        description="How long a stored request is remembered, so that the same bytes sent again are answered "
        "without storing them once more; 0: not at all.",
    )
    otlp_http_origins: Origins = Field(
        None,
        description="Origins whose pages may send OTLP over HTTP (CORS), separated by commas; `*` for all.",
    )
    otlp_http_connections: int = Field(
        512, ge=1, description="OTLP/HTTP connections that are served at once; beyond it: 503."
    )
    otlp_http_body_bytes: int = Field(
        256 * MIB,
        ge=1024,
        description="OTLP/HTTP bodies held in memory until they are answered, in bytes; beyond it: 503.",
    )
    otlp_http_decoders: int = Field(
        4, ge=1, le=64, description="OTLP/HTTP bodies that are unpacked (gzip) or read (JSON) at once."
    )
    otlp_http_header_timeout_s: float = Field(
        10.0, gt=0, description="How long a client may take for the headers of an OTLP/HTTP request."
    )
    otlp_http_body_timeout_s: float = Field(
        30.0, gt=0, description="How long a client may take for the body of an OTLP/HTTP request."
    )
    otlp_http_idle_timeout_s: int = Field(
        75, ge=1, description="How long an OTLP/HTTP connection stays open between requests."
    )
    queue_bytes: int = Field(
        256 * MIB,
        ge=1024,
        description="Requests that wait for their insert, in bytes; beyond it: UNAVAILABLE.",
    )
    batch_bytes: int = Field(32 * MIB, ge=1024, description="Largest insert, in bytes of requests.")
    batch_spans: int = Field(32_768, ge=1, description="Largest insert, in spans or log records.")
    batch_wait_ms: int = Field(
        250,
        ge=0,
        le=1000,
        description="How long an insert waits for company at most; a lone request never does.",
    )
    insert_workers: int = Field(2, ge=1, le=16, description="Inserts in flight at once.")
    store_timeout_s: float = Field(
        5.0, gt=0, le=9, description="How long an insert may take before its senders are told to come again."
    )
    shutdown_timeout_s: float = Field(10.0, gt=0, description="How long a stop may take.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto",
        description="console: for a person; json: an object a line; auto: console in a terminal, else json.",
    )

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            given, missing = ("CERTIFICATE", "KEY") if self.tls_key is None else ("KEY", "CERTIFICATE")
            raise ValueError(
                f"SPANLEDGER_TLS_{given} is set and SPANLEDGER_TLS_{missing} is not: TLS needs both"
            )
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError(
                "SPANLEDGER_TLS_CLIENT_CA is set: it needs SPANLEDGER_TLS_CERTIFICATE and SPANLEDGER_TLS_KEY"
            )
        return self

    def open_door(self) -> str | None:
        """What is wrong where no key is set, and the ledger has none of its own: the setting that lets other
        machines in. None where only this one can connect, or the setting for closed networks is on.
        """
        if self.api_key is None and not self.insecure:
            for name in ("grpc_listen", "otlp_http_listen", "api_listen"):
                listen = getattr(self, name)
                if not is_loopback(split_listen(listen)[0]):
                    return (
                        f"SPANLEDGER_{name.upper()} is {listen}, beyond loopback: set SPANLEDGER_API_KEY, or "
                        "make a key (`spanledger keys create`), or set SPANLEDGER_INSECURE=true where nobody "
                        "else can connect"
                    )
        return None


# Read by the instrumentation, which may run in the same environment.
INSTRUMENTATION_VARIABLES = ("SPANLEDGER_ENDPOINT", "SPANLEDGER_HEADERS", "SPANLEDGER_CAPTURE_CONTENT")


def read_settings(**overrides: Any) -> Settings:
    """The settings from `overrides` (flags), then the environment, then the defaults.

    Raises Misconfigured naming each wrong setting, its value and what is allowed, and each variable that
    looks like a setting and is none: a misspelt SPANLEDGER_API_KEY would leave the door open.
    """
    unknown = unknown_variables()
    if unknown:
        raise Misconfigured("; ".join(unknown))
    return known_settings(**overrides)


def unknown_variables() -> list[str]:
    """A sentence for each variable of the environment that looks like a setting and is none."""
    known = [name.upper() for name in Settings.model_fields]
    others = {variable.removeprefix(_PREFIX) for variable in INSTRUMENTATION_VARIABLES}
    sentences = []
    for variable in os.environ:
        name = variable.removeprefix(_PREFIX)
        if name != variable and name not in known and name not in others:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {_PREFIX}{near[0]}?" if near else "`spanledger settings` lists them"
            sentences.append(f"{variable} is not a setting; {hint}")
    return sentences


def known_settings(**overrides: Any) -> Settings:
    """As `read_settings`, whatever other variables there are."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise Misconfigured("; ".join(_explain(item) for item in error.errors())) from None


def _explain(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    return f"SPANLEDGER_{str(error['loc'][0]).upper()}={error['input']!r}: {message}"
