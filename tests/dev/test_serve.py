"""`florin serve` and `florin migrate` as processes: what they say when something is missing, and when all is well."""

import base64
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import httpx2
import pytest

from app.processes.ports import free_port
from tests.support.commands import FLORIN, clean, florin
from tests.support.postgres import another_database
from tests.support.waiting import until

REQUIRED = ("AUTH_SIGNING_KEY", "DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")


@pytest.fixture
async def environment(database_url: str) -> AsyncIterator[dict[str, str]]:
    """Settings of a server over an empty database, of development because the tests' own is fast and forgetful."""
    async with another_database(database_url) as url:
        yield {
            "ENVIRONMENT": "development",
            "DATABASE_URL": url,
            "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(16)}",
            "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(24)}",
            "AUTH_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }


def test_every_missing_setting_is_named_in_a_line() -> None:
    served = florin("serve", {})
    assert (served.returncode, served.stdout) == (1, "")
    lines = served.stderr.splitlines()
    assert sorted(lines) == [f"florin: {name} is not set. See docs/settings.md." for name in REQUIRED]


def test_a_setting_that_is_wrong_is_named_without_its_value() -> None:
    wrong = {"DATABASE_URL": "mysql://florin:secret@localhost/florin"}
    migrated = florin("migrate", wrong)
    assert migrated.returncode == 1
    [line] = migrated.stderr.splitlines()
    assert line.startswith("florin: DATABASE_URL is not valid: ")
    assert "secret" not in line


async def test_a_server_is_ready_once_the_database_is_migrated(environment: dict[str, str]) -> None:
    port = free_port()
    with serving(environment, port) as server:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:

            async def answers() -> bool:
                assert server.poll() is None
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await until(answers, seconds_max=120)
            before = await client.get("/readyz")
            migrated = florin("migrate", environment)
            after = await client.get("/readyz")
        assert (before.status_code, list(before.json()["missing"])) == (503, ["migrations"])
        assert "florin migrate" in before.json()["missing"]["migrations"]
        assert migrated.returncode == 0, migrated.stderr
        assert migrated.stdout.splitlines()[-1].startswith("The database is at revision ")
        assert (after.status_code, after.json()) == (200, {"status": "ready"})
        server.terminate()
        assert server.wait(60) == 0


@contextmanager
def serving(environment: Mapping[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `florin serve` until the block ends, where it is killed if it is still there."""
    command = [FLORIN, "serve", "--port", str(port)]
    with subprocess.Popen(command, env=clean(environment), stderr=subprocess.DEVNULL) as server:
        try:
            yield server
        finally:
            server.kill()
