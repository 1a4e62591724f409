"""The container files cannot be run here; what can be read in them is checked against the project."""

import json
import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # PyYAML comes with uvicorn[standard]; its stubs are a package of their own.

from tests.app.processes_seen import REPOSITORY

PACKAGES = ("api", "app", "domain", "gateways", "persistence", "sandbox", "worker")
SETTINGS = {
    "AUTH_SIGNING_KEY",
    "DATABASE_URL",
    "ENVIRONMENT",
    "STRIPE_API_BASE",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
}


def instructions(path: Path) -> list[tuple[str, str]]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_compose_runs_migrations_before_the_programs() -> None:
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"postgres", "migrate", "api", "worker"}
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for program in ("api", "worker"):
        assert services[program]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    # The role that owns the tables is for migrations alone.
    assert set(services["migrate"]["environment"]) == {"DATABASE_URL", "MIGRATION_DATABASE_URL"}
    assert services["migrate"]["command"] == ["migrate", "--create-app-role"]
    assert set(services["worker"]["environment"]) == SETTINGS
    assert set(services["api"]["environment"]) == {*SETTINGS, "PORT"}
    for program in ("migrate", "api", "worker"):
        assert services[program]["read_only"] is True


def test_compose_holds_no_secret_and_opens_nothing_to_the_network() -> None:
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
    environment = compose["services"]["api"]["environment"]
    for name in ("AUTH_SIGNING_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        assert re.fullmatch(rf"\$\{{{name}:\?.+\}}", environment[name])
    assert "://florin_app:${POSTGRES_APP_PASSWORD:?" in environment["DATABASE_URL"]
    owner = compose["services"]["migrate"]["environment"]["MIGRATION_DATABASE_URL"]
    assert "://florin:${POSTGRES_PASSWORD:?" in owner
    # More settings for the API and the worker, and none for the migrations, which know the owner's password.
    assert [compose["services"][each].get("env_file") for each in ("api", "worker", "migrate")] == [
        [{"path": "florin.env", "required": False}],
        [{"path": "florin.env", "required": False}],
        None,
    ]
    assert {".env", "florin.env"} <= set((REPOSITORY / ".gitignore").read_text().split())
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_serves_as_an_ordinary_user() -> None:
    found = instructions(REPOSITORY / "Dockerfile")
    last_stage = found[[index for index, (name, _) in enumerate(found) if name == "FROM"][-1] :]
    assert dict(last_stage)["USER"].isdigit()
    assert json.loads(dict(last_stage)["ENTRYPOINT"]) == ["florin"]
    assert json.loads(dict(last_stage)["CMD"])[0] == "serve"
    check = json.loads(dict(last_stage)["HEALTHCHECK"].partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "HEALTHCHECK", "exec")
    assert "/healthz" in check[2]


def test_the_image_is_built_from_every_package() -> None:
    copied = {value.split()[0] for name, value in instructions(REPOSITORY / "Dockerfile") if name == "COPY"}
    let_in = {
        line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for package in PACKAGES:
        assert package in copied
        assert package in let_in


def test_one_version_of_uv_is_named_everywhere() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    bootstrap = (REPOSITORY / "scripts" / "bootstrap.sh").read_text()
    assert re.findall(r"uv==([\d.]+)", dockerfile) == re.findall(r"^UV_VERSION=([\d.]+)$", bootstrap, re.MULTILINE)
