"""`florin serve` and `florin worker` in production: what they refuse of a database, and what they only warn of."""

import asyncio
import base64
import json
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database_checks import UnsafeDatabase, check_database
from app.embedded_postgres import EmbeddedPostgres
from app.processes.ports import free_port
from app.settings_group import Environment
from app.wiring import readiness
from persistence.engine import open_engine
from tests.app.processes_seen import read_line
from tests.support.captured_logs import captured_logs
from tests.support.commands import FLORIN, clean, florin
from tests.support.database import patient_config
from tests.support.postgres import with_database
from tests.support.production import SHOP_PASSWORD, durable_server, shop
from tests.support.waiting import until

SETTINGS = ("synchronous_commit", "fsync", "full_page_writes")
SECRETS = {
    "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(16)}",
    "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(24)}",
    "AUTH_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
}

pytestmark = pytest.mark.xdist_group("durable_server")


@pytest.fixture(scope="module")
def durable() -> Iterator[EmbeddedPostgres]:
    with durable_server() as server:
        yield server


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def turned_off(server: EmbeddedPostgres, *names: str) -> AsyncIterator[None]:
    """Let the server run without these settings for the time of the block."""
    await execute(server.admin_url, *(f"ALTER SYSTEM SET {name} = off" for name in names), "SELECT pg_reload_conf()")
    try:
        for name in names:
            await until(lambda name=name: shown(server, name, "off"))  # type: ignore[misc]  # a lambda's default
        yield
    finally:
        await execute(server.admin_url, *(f"ALTER SYSTEM RESET {name}" for name in names), "SELECT pg_reload_conf()")
        for name in names:
            await until(lambda name=name: shown(server, name, "on"))  # type: ignore[misc]  # as above


async def shown(server: EmbeddedPostgres, name: str, value: str) -> bool:
    connection = await asyncpg.connect(server.url)
    try:
        found: object = await connection.fetchval(f"SHOW {name}")
    finally:
        await connection.close()
    return found == value


def refused_line(command: str, url: str) -> str:
    """What a command says that must refuse the database: one line, beside what the log says."""
    refused = florin(command, {**SECRETS, "DATABASE_URL": url, "PORT": "0"})
    assert refused.returncode == 1, refused.stderr
    assert refused.stdout == ""
    assert "api.started" not in refused.stderr
    assert "worker.started" not in refused.stderr
    [line] = refused.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", SETTINGS)
async def test_the_api_does_not_start_where_one_setting_is_off(durable: EmbeddedPostgres, name: str) -> None:
    async with turned_off(durable, name):
        line = await asyncio.to_thread(refused_line, "serve", shop(durable))
    assert line == (
        f"florin: The database could lose payments that were acknowledged: {name} is off. "
        "Turn that on; see docs/runbook.md."
    )


async def test_the_worker_names_all_that_are_off(durable: EmbeddedPostgres) -> None:
    async with turned_off(durable, *SETTINGS):
        line = await asyncio.to_thread(refused_line, "worker", shop(durable))
    assert line.startswith(
        "florin: The database could lose payments that were acknowledged: "
        "synchronous_commit, fsync and full_page_writes are off. "
    )


@asynccontextmanager
async def engine_on(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(patient_config(url))
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.mark.parametrize("whose", ["ROLE shop", "DATABASE florin", "ROLE shop IN DATABASE florin"])
async def test_a_setting_of_the_role_or_the_database_alone_counts(durable: EmbeddedPostgres, whose: str) -> None:
    await execute(durable.admin_url, f"ALTER {whose} SET synchronous_commit = off")
    try:
        async with engine_on(shop(durable)) as engine:
            with pytest.raises(UnsafeDatabase, match="acknowledged: synchronous_commit is off"):
                await check_database(engine, Environment.PRODUCTION)
    finally:
        await execute(durable.admin_url, f"ALTER {whose} RESET synchronous_commit")


@pytest.mark.parametrize("value", ["local", "remote_write", "on", "remote_apply"])
async def test_what_waits_for_the_disk_is_accepted(durable: EmbeddedPostgres, value: str) -> None:
    await execute(durable.admin_url, f"ALTER ROLE shop SET synchronous_commit = {value}")
    try:
        async with engine_on(shop(durable)) as engine:
            with captured_logs() as logs:
                await check_database(engine, Environment.PRODUCTION)
            assert logs.text == ""
    finally:
        await execute(durable.admin_url, "ALTER ROLE shop RESET synchronous_commit")


async def test_a_role_that_could_change_the_audit_log_is_warned_of(durable: EmbeddedPostgres) -> None:
    for url, role in ((durable.url, "florin"), (with_database(durable.admin_url, "florin"), "postgres")):
        async with engine_on(url) as engine:
            with captured_logs() as logs:
                await check_database(engine, Environment.PRODUCTION)
        [warning] = logs.lines
        assert (warning["event"], warning["level"], warning["role"]) == ("database.role_may_change", "warning", role)
        assert {"audit_entries", "audit_heads", "audit_links"} <= set(warning["tables"])


async def test_development_only_warns_and_is_ready(durable: EmbeddedPostgres) -> None:
    async with turned_off(durable, "fsync"), engine_on(durable.url) as engine:
        with captured_logs() as logs:
            await check_database(engine, Environment.DEVELOPMENT)
        assert await readiness(engine, Environment.DEVELOPMENT) == {}
        assert list(await readiness(engine, Environment.PRODUCTION)) == ["durability"]
    [warning] = logs.lines
    assert (warning["event"], warning["level"]) == ("database.not_durable", "warning")
    assert "fsync is off" in warning["error"]


@contextmanager
def serving(url: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `florin serve` whose log can be read, and its address."""
    port = free_port()
    environment = clean({**SECRETS, "DATABASE_URL": url, "PORT": str(port), **settings})
    with subprocess.Popen(
        [FLORIN, "serve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            yield server, f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def log_until_started(server: subprocess.Popen[str]) -> list[Mapping[str, object]]:
    """The log's lines up to the one that says that the API has started."""
    lines: list[Mapping[str, object]] = []
    while not lines or lines[-1]["event"] != "api.started":
        lines.append(json.loads(read_line(server)))
    return lines


async def get(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.get(url)


async def readiness_of(url: str) -> tuple[int, dict[str, str]]:
    response = await get(f"{url}/readyz")
    return response.status_code, response.json().get("missing", {})


async def until_it_answers(server: subprocess.Popen[str], url: str) -> None:
    async def answers() -> bool:
        assert server.poll() is None
        try:
            return (await get(f"{url}/healthz")).status_code == 200
        except httpx2.TransportError:
            return False

    await until(answers, seconds_max=120)


async def test_a_server_says_when_its_database_becomes_unsafe(durable: EmbeddedPostgres) -> None:
    with serving(shop(durable)) as (server, url):
        [started] = await asyncio.to_thread(log_until_started, server)
        assert started["level"] == "info"
        await until_it_answers(server, url)
        assert await readiness_of(url) == (200, {})
        async with turned_off(durable, "fsync"):
            status, missing = await readiness_of(url)
            assert (status, list(missing)) == (503, ["durability"])
            assert "fsync is off" in missing["durability"]
        assert await readiness_of(url) == (200, {})
        server.terminate()
        assert await asyncio.to_thread(server.wait, 60) == 0


async def test_a_server_that_starts_before_its_database_checks_it_later(durable: EmbeddedPostgres) -> None:
    port = free_port()
    away = urlsplit(shop(durable))._replace(netloc=f"shop:{SHOP_PASSWORD}@127.0.0.1:{port}").geturl()
    async with turned_off(durable, "fsync"):
        with serving(away) as (server, url):
            await until_it_answers(server, url)
            assert list((await readiness_of(url))[1]) == ["database"]
            # Now the database comes up, as a port that leads to it.
            async with forwarding(port, durable.port):
                assert await asyncio.to_thread(server.wait, 120) == 1
            assert server.stdout is not None
            assert (
                "florin: The database could lose payments that were acknowledged: fsync is off." in server.stdout.read()
            )


@asynccontextmanager
async def forwarding(port: int, target: int) -> AsyncIterator[None]:
    """Lead every connection to `port` on to `target`."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(copy(reader, onward_writer), copy(onward_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    async with server:
        yield
