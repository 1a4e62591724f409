"""The PostgreSQL that tests run against: real, empty at first, and gone afterwards.

Each xdist worker starts a throw-away server of its own, on its first test that asks for a database. With
FLORIN_TEST_DATABASE_URL set to the address of another server (PostgreSQL 15 or newer, a superuser), each worker uses a
database and a role of its own there instead, and drops them at the end.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from app.embedded_postgres import EmbeddedPostgres

SERVER_VARIABLE = "FLORIN_TEST_DATABASE_URL"

# Some servers of a few hundred megabytes each; Docker gives a container 64 MB there unless told otherwise.
_MEMORY_BYTES_MIN = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Addresses:
    """A database, `postgresql://...`, as its owner and as the application's role.

    In tests that role may take on the owner's (SET ROLE), which is how a test empties tables that are only added to.
    """

    owner: str
    application: str


@pytest.fixture(scope="session")
def addresses() -> Iterator[Addresses]:
    """This worker's database; no table is in it yet, and nothing is granted."""
    server = os.environ.get(SERVER_VARIABLE)
    if server is None:
        folder = throwaway_folder()
        try:
            with EmbeddedPostgres(folder, throwaway=True) as postgres:
                yield Addresses(postgres.url, postgres.app_url)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    name, password = _new_name(), secrets.token_hex(16)
    owner = urlsplit(server)
    application = owner._replace(netloc=f"{name}:{password}@{owner.netloc.rpartition('@')[2]}")
    _run(_execute(server, f'CREATE DATABASE "{name}"'))
    _run(_execute(server, f"CREATE ROLE \"{name}\" LOGIN NOINHERIT PASSWORD '{password}'"))
    _run(_execute(server, f'GRANT "{owner.username}" TO "{name}"'))
    try:
        yield Addresses(with_database(server, name), with_database(urlunsplit(application), name))
    finally:
        _run(_execute(server, f'DROP DATABASE "{name}" WITH (FORCE)'))
        _run(_execute(server, f'DROP ROLE "{name}"'))


@pytest.fixture(scope="session")
def database_url(addresses: Addresses) -> str:
    """The address of this worker's database as its owner."""
    return addresses.owner


@pytest.fixture(scope="session")
def app_database_url(addresses: Addresses) -> str:
    """The same as the application's role, which may do nothing before `migrated_engine` has granted it."""
    return addresses.application


@asynccontextmanager
async def another_database(database_url: str) -> AsyncIterator[str]:
    """Create an empty database beside the given one, and drop it at the end of the block."""
    name = _new_name()
    await _execute(database_url, f'CREATE DATABASE "{name}"')
    try:
        yield with_database(database_url, name)
    finally:
        await _execute(database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def with_database(url: str, name: str) -> str:
    """Return `url` with the database's name exchanged."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def throwaway_folder() -> Path:
    """Make a folder for a server; when root runs the tests, the server's own account must be able to enter it.

    So it is not pytest's tmp_path, whose parent has mode 0700. It is in memory where there is plenty: on a busy disk
    making a cluster took 4 s, in memory 1 s.
    """
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a new folder there, closed to others.
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _MEMORY_BYTES_MIN
    # TMPDIR may be closed to the server's account, so it is not asked.
    place = memory if roomy else Path("/tmp")  # noqa: S108 - as above.
    folder = Path(tempfile.mkdtemp(prefix="florin-test-", dir=place))
    folder.chmod(0o711)
    return folder


def _new_name() -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"florin_test_{worker}_{secrets.token_hex(6)}"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _run(work: Coroutine[object, object, None]) -> None:
    # In a thread: pytest-asyncio keeps an event loop in this one.
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, work).result()
