"""`florin serve` and `florin migrate` as processes: what they say when something is missing, and when all is well."""

import asyncio
import base64
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.processes.ports import free_port
from tests.api.people import SIGN_IN
from tests.support.commands import FLORIN, clean, florin
from tests.support.database import as_owner, rows
from tests.support.postgres import another_database
from tests.support.raw_connections import connected, ended
from tests.support.waiting import until

REQUIRED = ("AUTH_SIGNING_KEY", "DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")


@pytest.fixture
async def environment(database_url: str) -> AsyncIterator[dict[str, str]]:
    """Settings of a server over an empty database, of development because the tests' own is fast and forgetful."""
    async with another_database(database_url) as url:
        yield settings_over(url)


@pytest.fixture
def migrated(app_database_url: str, engine: AsyncEngine) -> dict[str, str]:
    """The same over a database that is migrated."""
    return settings_over(app_database_url)


def settings_over(url: str) -> dict[str, str]:
    return {
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
        async with client_of(server, port) as client:
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


async def test_who_gets_no_connection_is_told_so_before_those_who_hold_one_are_done(
    migrated: dict[str, str], engine: AsyncEngine
) -> None:
    port, small = free_port(), {"DATABASE_POOL_SIZE": "1", "DATABASE_WAIT_SECONDS": "0.1"}
    with serving(migrated | small, port) as server:
        async with client_of(server, port) as client, as_owner(engine) as owner:
            await owner.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
            # It waits for the lock until PostgreSQL gives up, which is longer than anybody may wait for its connection.
            holding = asyncio.create_task(client.get("/readyz"))
            await until(lambda: waiting_for(engine, "alembic_version"))
            refused = await client.post("/graphql", json=sign_in())
            assert not holding.done()
            await owner.rollback()
            assert (await holding).status_code == 200
            answered = await client.post("/graphql", json=sign_in())
    assert [error["extensions"]["code"] for error in refused.json()["errors"]] == ["UNAVAILABLE"]
    assert "errors" not in answered.json()


async def test_a_server_takes_no_more_than_its_settings_allow(migrated: dict[str, str], engine: AsyncEngine) -> None:
    port = free_port()
    limits = {"BODY_BYTES_MAX": "2000", "REQUEST_DEADLINE_SECONDS": "0.2", "CONNECTIONS_MAX": "2"}
    # Nothing but the number of connections ends one here.
    patient = {"HEADERS_TIMEOUT_SECONDS": "300"}
    with serving(migrated | limits | patient, port) as server:
        async with client_of(server, port) as client:
            large = sign_in() | {"extensions": {"a": "b" * 2000}}
            assert (await client.post("/graphql", json=large)).status_code == 413
            async with as_owner(engine) as owner:
                await owner.execute(text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
                late = await client.post("/graphql", json=sign_in())
            assert (late.status_code, late.json()["errors"][0]["extensions"]["code"]) == (504, "DEADLINE_EXCEEDED")
            # The client keeps its own connection, so that one more fits.
            async with connected(port), connected(port) as (one_too_many, _):
                assert await ended(one_too_many) == b""
                assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(("short", "long"), [("head", "body"), ("body", "head")])
async def test_a_connection_is_let_go_once_the_time_in_the_settings_is_over(
    migrated: dict[str, str], short: str, long: str
) -> None:
    port = free_port()
    seconds = {short: "0.3", long: "300"}
    times = {"HEADERS_TIMEOUT_SECONDS": seconds["head"], "BODY_TIMEOUT_SECONDS": seconds["body"]}
    head = b"POST /graphql HTTP/1.1\r\nHost: florin.example\r\nContent-Type: application/json\r\n"
    parts = {"head": head, "body": head + b"Content-Length: 10\r\n\r\n{"}
    with serving(migrated | times, port) as server:
        async with client_of(server, port), connected(port) as one, connected(port) as other:
            # Whoever may take long was there first.
            for part, (_, writer) in ((long, one), (short, other)):
                writer.write(parts[part])
            waiting = asyncio.create_task(ended(one[0]))
            assert (await ended(other[0])).startswith(b"HTTP/1.1 408 ")
            assert not waiting.done()
            waiting.cancel()


def sign_in() -> dict[str, object]:
    """A request that needs the database and no credentials."""
    return {"query": SIGN_IN, "variables": {"input": {"email": "nobody@example.com", "password": "no password"}}}


async def waiting_for(engine: AsyncEngine, table: str) -> bool:
    """Whether somebody waits for a lock on a table."""
    query = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = CAST(:table AS regclass)"
    return bool(await rows(engine, query, table=table))


@asynccontextmanager
async def client_of(server: subprocess.Popen[bytes], port: int) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server that answers by now."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:

        async def answers() -> bool:
            assert server.poll() is None
            try:
                return (await client.get("/healthz")).status_code == 200
            except httpx2.TransportError:
                return False

        await until(answers, seconds_max=120)
        yield client


@contextmanager
def serving(environment: Mapping[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `florin serve` until the block ends, where it is killed if it is still there."""
    command = [FLORIN, "serve", "--port", str(port)]
    with subprocess.Popen(command, env=clean(environment), stderr=subprocess.DEVNULL) as server:
        try:
            yield server
        finally:
            server.kill()
