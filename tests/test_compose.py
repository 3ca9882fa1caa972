"""docker-compose.yml and Dockerfile, checked as text: no Docker engine runs where the tests do."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from spanledger.schemas.database import MINIMUM_VERSION, parse_target
from spanledger.schemas.settings import Settings, read_settings, split_listen
from spanledger.server.cli import build_parser

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("spanledger:")}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = re.compile(r"[\w./-]+:\d+(\.\d+)+(-[\w.]+)*")
NEEDED = re.compile(r"\$\{(\w+):\?[^}]+\}")


def settings_of(service: dict[str, Any]) -> dict[str, str]:
    """The SPANLEDGER_* variables of a service, as Docker would fill them from an .env file."""
    return {
        name: NEEDED.sub("sample", value)
        for name, value in service["environment"].items()
        if name.startswith("SPANLEDGER_")
    }


def test_the_services_are_a_database_a_collector_and_an_api():
    assert set(SERVICES) == {"clickhouse", "collector", "api"}
    assert set(OURS) == {"collector", "api"}


def test_both_of_ours_run_the_same_image_of_this_version():
    assert {service["image"] for service in OURS.values()} == {f"spanledger:{PROJECT['version']}"}
    assert {service["build"] for service in OURS.values()} == {"."}


def test_images_have_pinned_tags():
    base = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in [*base, *(service["image"] for service in SERVICES.values())]:
        assert PINNED.fullmatch(image), image


def test_the_server_is_new_enough():
    tag = SERVICES["clickhouse"]["image"].partition(":")[2]
    assert tuple(map(int, tag.split(".")[:2])) >= MINIMUM_VERSION


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_with_a_valid_value(name, monkeypatch):
    given = settings_of(OURS[name])
    known = {f"SPANLEDGER_{field.upper()}" for field in Settings.model_fields}
    assert set(given) <= known
    for variable in known:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    settings = read_settings()
    target = parse_target(settings.database)
    assert (target.host, target.port, target.username) == ("clickhouse", 8123, "spanledger")
    assert target.database == SERVICES["clickhouse"]["environment"]["CLICKHOUSE_DB"]
    # Only the key makes this possible.
    monkeypatch.delenv("SPANLEDGER_API_KEY")
    assert "beyond loopback" in read_settings().open_door()


@pytest.mark.parametrize(
    ("name", "settings"), [("collector", ("grpc_listen", "otlp_http_listen")), ("api", ("api_listen",))]
)
def test_ports_are_the_documented_ones(name, settings):
    documented = [split_listen(Settings.model_fields[setting].default)[1] for setting in settings]
    for setting, port in zip(settings, documented, strict=True):
        assert settings_of(OURS[name])[f"SPANLEDGER_{setting.upper()}"] == f"0.0.0.0:{port}"
    assert OURS[name]["ports"] == [f"127.0.0.1:{port}:{port}" for port in documented]
    exposed = re.findall(r"^EXPOSE (.*)", DOCKERFILE, re.MULTILINE)[0].split()
    assert set(map(str, documented)) <= set(exposed)


@pytest.mark.parametrize("name", OURS)
def test_health_is_whether_the_database_answers(name):
    """A collector that runs alone answers its health where the API would be."""
    _, documented = split_listen(Settings.model_fields["api_listen"].default)
    assert f"http://127.0.0.1:{documented}/readyz" in " ".join(OURS[name]["healthcheck"]["test"])


def test_the_database_is_published_nowhere():
    assert "ports" not in SERVICES["clickhouse"]


@pytest.mark.parametrize("name", OURS)
def test_commands_are_valid(name):
    chosen = build_parser()[0].parse_args(OURS[name]["command"])
    assert (chosen.command, chosen.only) == ("serve", name)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_starts_again(name):
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])
    assert service["restart"] == "unless-stopped"


def test_the_python_of_health_checks_compiles():
    for service in OURS.values():
        *command, code = service["healthcheck"]["test"]
        assert command == ["CMD", "python", "-c"]
        compile(code, "healthcheck", "exec")


@pytest.mark.parametrize("name", OURS)
def test_ours_wait_for_a_healthy_database(name):
    assert OURS[name]["depends_on"] == {"clickhouse": {"condition": "service_healthy"}}
    grace = int(OURS[name]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["shutdown_timeout_s"].default


def test_named_volumes_are_declared():
    used = {
        volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())
    }
    assert used == set(COMPOSE["volumes"])


def test_secrets_come_from_the_environment():
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if name.endswith(("_KEY", "_PASSWORD")):
                assert NEEDED.fullmatch(value), name
    assert NEEDED.search(COMPOSE["x-settings"]["SPANLEDGER_DATABASE"])


def test_every_secret_that_is_needed_is_named_at_the_top():
    text = (ROOT / "docker-compose.yml").read_text()
    head = text[: text.index("x-spanledger")]
    for name in set(NEEDED.findall(text)):
        assert f"{name}=" in head


def test_the_image_holds_every_package_and_what_the_build_needs():
    copied = {
        word.strip("./")
        for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.MULTILINE)
        for word in shlex.split(line)[:-1]
    }
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rooms = {folder.split("/")[0] for folder in config["tool"]["setuptools"]["package-dir"].values()}
    assert copied == rooms | {"pyproject.toml", "LICENSE", PROJECT["readme"]}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}


def test_the_image_runs_as_a_user_of_its_own_without_development_tools():
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] not in ("root", "0")
    assert "'.[server]'" in DOCKERFILE
    assert "[dev]" not in DOCKERFILE
