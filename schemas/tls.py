"""TLS: one certificate for every port, read and checked once, for Python's ssl and for gRPC."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.settings import Settings


@dataclass(frozen=True)
class Tls:
    """A certificate with its chain, its key, and the authorities that clients must come from, all PEM.

    `context`: the same for servers on Python's ssl; HTTP/1.1 is what they speak.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


def read_tls(settings: Settings) -> Tls | None:
    """What the settings point to; None where none is set.

    Raises Misconfigured naming the setting whose file cannot be read or used.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    certificate = _read("tls_certificate", settings.tls_certificate)
    key = _read("tls_key", settings.tls_key)
    pair = f"SPANLEDGER_TLS_CERTIFICATE={settings.tls_certificate}, SPANLEDGER_TLS_KEY={settings.tls_key}"
    try:
        # Without a passphrase of ours OpenSSL would ask for one on the terminal.
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"{pair}: not a certificate and its private key, in PEM and without a passphrase ({_why(error)})"
        ) from error
    client_ca = None
    if settings.tls_client_ca is not None:
        client_ca = _read("tls_client_ca", settings.tls_client_ca)
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"SPANLEDGER_TLS_CLIENT_CA={settings.tls_client_ca}: no certificates in PEM ({_why(error)})"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return Tls(certificate, key, client_ca, context)


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Misconfigured(f"SPANLEDGER_{name.upper()}={path}: cannot be read ({error.strerror})") from error


def _why(error: Exception) -> str:
    """OpenSSL's own word for it, where it has one: `KEY_VALUES_MISMATCH`."""
    return getattr(error, "reason", None) or str(error)
