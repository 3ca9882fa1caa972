"""schemas.settings: what can be set, how, and what a wrong value is told."""

from __future__ import annotations

import pytest

from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.settings import INSTRUMENTATION_VARIABLES, Settings, read_settings, split_listen


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SPANLEDGER_{name.upper()}", raising=False)


def test_without_any_setting_everything_listens_on_loopback_only():
    settings = read_settings()
    assert settings.grpc_listen == "127.0.0.1:4317"
    assert settings.otlp_http_listen == "127.0.0.1:4318"
    assert settings.api_listen == "127.0.0.1:8000"
    assert settings.api_key is None
    assert settings.max_request_bytes == 64 * 1024 * 1024


def test_a_flag_beats_the_environment_and_the_environment_beats_the_default(monkeypatch):
    monkeypatch.setenv("SPANLEDGER_PROJECT", "from-environment")
    monkeypatch.setenv("SPANLEDGER_BATCH_SPANS", "7")
    settings = read_settings(project="from-flag")
    assert (settings.project, settings.batch_spans, settings.insert_workers) == ("from-flag", 7, 2)


def test_settings_of_other_programs_and_unknown_ones_are_no_error(monkeypatch):
    monkeypatch.setenv("SPANLEDGER_CAPTURE_CONTENT", "true")
    assert read_settings().project == "default"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grpc_listen", "4317"),
        ("grpc_listen", ":4317"),
        ("grpc_listen", "127.0.0.1:http"),
        ("grpc_listen", "127.0.0.1:65536"),
        ("api_listen", "127.0.0.1:-1"),
        ("otlp_http_listen", "4318"),
        ("otlp_http_origins", "app.example.org"),
        ("otlp_http_origins", "https://app.example.org/"),
        ("otlp_http_origins", "https://App.example.org"),
        ("otlp_http_origins", "null"),
        ("otlp_http_body_timeout_s", "0"),
        ("otlp_http_decoders", "0"),
        ("tls_certificate", ""),
        ("max_request_bytes", "64MiB"),
        ("max_request_bytes", "10"),
        ("batch_spans", "0"),
        ("store_timeout_s", "0"),
        ("store_timeout_s", "nan"),
        ("store_timeout_s", "30"),
        ("insert_workers", "1000"),
        ("log_level", "loud"),
        ("project", ""),
    ],
)
def test_a_wrong_value_is_named_with_its_setting_and_what_it_was(name, value):
    with pytest.raises(Misconfigured) as refused:
        read_settings(**{name: value})
    assert f"SPANLEDGER_{name.upper()}={value!r}" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("https://a.example", ("https://a.example",)),
        (
            " http://localhost:3000 ,https://[::1]:8443,",
            ("http://localhost:3000", "https://[::1]:8443"),
        ),
        ("*", ("*",)),
        ("", ()),
    ],
)
def test_origins_are_separated_by_commas(monkeypatch, given, origins):
    monkeypatch.setenv("SPANLEDGER_OTLP_HTTP_ORIGINS", given)
    assert read_settings().otlp_http_origins == origins
    assert read_settings(otlp_http_origins=given).otlp_http_origins == origins


def test_every_wrong_value_is_named_at_once():
    with pytest.raises(Misconfigured) as refused:
        read_settings(batch_spans="many", log_level="loud")
    assert "SPANLEDGER_BATCH_SPANS" in str(refused.value)
    assert "SPANLEDGER_LOG_LEVEL" in str(refused.value)


@pytest.mark.parametrize("name", ["grpc_listen", "otlp_http_listen", "api_listen"])
@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.168.1.5:1", "example.org:1"])
def test_beyond_loopback_a_key_is_needed(name, address):
    assert f"SPANLEDGER_{name.upper()} is {address}" in read_settings(**{name: address}).open_door()
    assert read_settings(**{name: address, "api_key": "secret"}).open_door() is None
    assert read_settings(**{name: address, "insecure": "true"}).open_door() is None


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_on_loopback_no_key_is_needed(address):
    settings = read_settings(grpc_listen=address, otlp_http_listen=address, api_listen=address)
    assert settings.open_door() is None


def test_an_empty_key_is_no_key():
    """SPANLEDGER_API_KEY= in a compose file must not open every address."""
    with pytest.raises(Misconfigured):
        read_settings(grpc_listen="0.0.0.0:1", api_key="")


def test_the_key_is_in_no_text_of_the_settings():
    settings = read_settings(api_key="secret")
    assert "secret" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_cannot_be_changed_later():
    with pytest.raises(ValueError, match="frozen"):
        read_settings().project = "other"


@pytest.mark.parametrize(
    ("listen", "parts"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_is_split_into_host_and_port(listen, parts):
    assert split_listen(listen) == parts


def test_every_setting_says_what_it_means():
    assert all(field.description for field in Settings.model_fields.values())


def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_one(monkeypatch):
    monkeypatch.setenv("SPANLEDGER_API_KEYS", "secret")
    with pytest.raises(Misconfigured, match=r"SPANLEDGER_API_KEYS is not .* mean SPANLEDGER_API_KEY"):
        read_settings()


def test_the_variables_of_the_instrumentation_are_none_of_the_servers_business(monkeypatch):
    for variable in INSTRUMENTATION_VARIABLES:
        monkeypatch.setenv(variable, "true")
    assert read_settings() == Settings()
