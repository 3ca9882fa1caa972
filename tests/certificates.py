"""Certificates for tests, by an authority that lives as long as the process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme


@dataclass
class Certificates:
    """Files of an authority, a server on this machine and a client, and of a client of another authority."""

    ca: Path
    server: tuple[Path, Path]  # certificate and key
    client: tuple[Path, Path]
    stranger: tuple[Path, Path]

    def settings(self, *, mutual: bool) -> dict[str, Any]:
        """The settings of a server; `mutual`: clients must show a certificate."""
        certificate, key = map(str, self.server)
        both = {"tls_certificate": certificate, "tls_key": key}
        return both | ({"tls_client_ca": str(self.ca)} if mutual else {})


def make_certificates(folder: Path) -> Certificates:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return Certificates(
        folder / "ca.pem",
        _written(folder / "server", ca.issue_cert("localhost", "127.0.0.1")),
        _written(folder / "client", ca.issue_cert("client@example.org")),
        _written(folder / "stranger", trustme.CA().issue_cert("client@example.org")),
    )


def _written(name: Path, leaf: trustme.LeafCert) -> tuple[Path, Path]:
    certificate, key = name.with_suffix(".pem"), name.with_suffix(".key")
    certificate.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    return certificate, key
