"""The tests' own database: a server that dies with its pytest, or a database on a server that was named."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from app.embedded_postgres import EmbeddedPostgres
from tests.app.processes_seen import REPOSITORY, read_line, wait_until
from tests.support.postgres import SERVER_VARIABLE, another_database, throwaway_folder

# A suite of one test that says where its database is, and waits for ever if it is told to.
SUITE = """
import os, time
import asyncpg

async def test_database(database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE note (text text)")
    await connection.close()
    print("at", database_url, flush=True)
    time.sleep(float(os.environ["WAIT_SECONDS"]))
"""


@contextmanager
def suite(folder: Path, *, wait_seconds: int = 0, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the suite as a pytest of its own; the block gets the process and the address that its test has used."""
    (folder / "test_suite.py").write_text(SUITE)
    inherited = {name: value for name, value in os.environ.items() if name != SERVER_VARIABLE}
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-s", "-q", "-p", "tests.support.postgres", "-p", "no:cacheprovider"),
            *("-c", str(REPOSITORY / "pyproject.toml"), str(folder / "test_suite.py")),
        ],
        cwd=REPOSITORY,
        env={**inherited, "WAIT_SECONDS": str(wait_seconds), **variables},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not (line := read_line(process)).startswith("at "):
                assert process.poll() is None, "the suite has ended without a word"
            yield process, line.removeprefix("at ")
        finally:
            process.kill()


def takes_connections(url: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)):
            return True
    except ConnectionRefusedError:
        return False


def databases(url: str) -> set[str]:
    async def query() -> set[str]:
        connection = await asyncpg.connect(url)
        try:
            return {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, query()).result()


def test_the_server_ends_with_the_suite(tmp_path: Path) -> None:
    with suite(tmp_path) as (process, url):
        assert process.wait(60) == 0
    assert not takes_connections(url)


def test_the_server_ends_with_a_suite_that_is_killed(tmp_path: Path) -> None:
    with suite(tmp_path, wait_seconds=600) as (process, url):
        assert takes_connections(url)
        process.kill()
    wait_until(lambda: not takes_connections(url), "the end of the server")


def test_a_server_that_is_named_gets_a_database_for_each_worker(tmp_path: Path) -> None:
    folder = throwaway_folder()
    try:
        with EmbeddedPostgres(folder, throwaway=True) as server:
            before = databases(server.url)
            with suite(tmp_path, wait_seconds=0, **{SERVER_VARIABLE: server.admin_url}) as (process, url):
                assert urlsplit(url).path.startswith("/florin_test_")
                assert urlsplit(url).netloc == urlsplit(server.admin_url).netloc
                assert process.wait(60) == 0
            assert databases(server.url) == before
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_another_database_lasts_for_its_block() -> None:
    folder = throwaway_folder()
    try:
        with EmbeddedPostgres(folder, throwaway=True) as server:
            before = databases(server.url)
            async with another_database(server.url) as url:
                assert databases(url) - before == {urlsplit(url).path.removeprefix("/")}
            assert databases(server.url) == before
    finally:
        shutil.rmtree(folder, ignore_errors=True)
