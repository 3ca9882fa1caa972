"""schemas.tls: a certificate that cannot be used is named with its setting before anything listens."""

from __future__ import annotations

import ssl

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.settings import Settings, read_settings
from spanledger.schemas.tls import read_tls

CA = trustme.CA()
CERTIFICATE = CA.issue_cert("localhost")


@pytest.fixture
def files(tmp_path):
    """Where the certificate, its key and the authority are: `files["tls_key"]`."""
    CERTIFICATE.private_key_pem.write_to_path(tmp_path / "key.pem")
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "certificate.pem").write_bytes(b"".join(part.bytes() for part in CERTIFICATE.cert_chain_pems))
    names = {"tls_certificate": "certificate.pem", "tls_key": "key.pem", "tls_client_ca": "ca.pem"}
    return {setting: str(tmp_path / name) for setting, name in names.items()}


def test_without_the_settings_there_is_no_tls():
    assert read_tls(Settings()) is None


def test_a_certificate_and_its_key_are_read_and_no_client_certificate_is_asked_for(files):
    del files["tls_client_ca"]
    tls = read_tls(Settings(**files))
    assert tls.key == CERTIFICATE.private_key_pem.bytes()
    assert tls.certificate.count(b"BEGIN CERTIFICATE") == len(CERTIFICATE.cert_chain_pems)
    assert tls.client_ca is None
    assert tls.context.verify_mode is ssl.CERT_NONE
    assert tls.context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_with_an_authority_for_clients_their_certificates_are_required(files):
    tls = read_tls(Settings(**files))
    assert tls.client_ca == CA.cert_pem.bytes()
    assert tls.context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("given", "missing"), [("tls_certificate", "TLS_KEY"), ("tls_key", "TLS_CERTIFICATE")]
)
def test_half_of_a_pair_is_refused_naming_the_other_half(files, given, missing):
    with pytest.raises(Misconfigured, match=f"SPANLEDGER_{missing} is not"):
        read_settings(**{given: files[given]})


def test_an_authority_for_clients_alone_is_refused(files):
    with pytest.raises(Misconfigured, match="SPANLEDGER_TLS_CLIENT_CA is set: it needs"):
        read_settings(tls_client_ca=files["tls_client_ca"])


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_a_file_that_cannot_be_read_is_named_with_its_setting(files, tmp_path, setting):
    for path, why in ((tmp_path / "missing.pem", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(
            Misconfigured, match=f"SPANLEDGER_{setting.upper()}={path}: cannot be read .{why}"
        ):
            read_tls(Settings(**files | {setting: str(path)}))


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_a_file_that_holds_something_else_is_named_with_its_setting(files, tmp_path, setting):
    other = tmp_path / "other.pem"
    for content in (b"", b"no PEM at all", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        other.write_bytes(content)
        with pytest.raises(Misconfigured, match=f"SPANLEDGER_{setting.upper()}={other}"):
            read_tls(Settings(**files | {setting: str(other)}))


def test_the_key_of_another_certificate_is_refused(files):
    CA.issue_cert("localhost").private_key_pem.write_to_path(files["tls_key"])
    with pytest.raises(Misconfigured, match="KEY_VALUES_MISMATCH"):
        read_tls(Settings(**files))


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(files, tmp_path):
    plain = load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"words"))
    )
    with pytest.raises(Misconfigured, match="without a passphrase"):
        read_tls(Settings(**files | {"tls_key": str(locked)}))
