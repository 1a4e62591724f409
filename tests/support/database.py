"""Fixtures over a real PostgreSQL: one migrated database for each xdist worker, empty at the start of each test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Executable, delete, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.audit_chain import NO_HASH
from domain.payments.attempt import Attempt
from persistence.engine import DatabaseConfig, open_engine
from persistence.reader import SqlReader
from persistence.roles import ApplicationRole
from persistence.schema import migrate
from persistence.tables import audit_heads, metadata, transaction_edges
from persistence.unit_of_work import SqlUnitsOfWork

_OF_THE_SCHEMA = (audit_heads, transaction_edges)
_EMPTIED: list[Executable] = [
    *(delete(table) for table in reversed(metadata.sorted_tables) if table not in _OF_THE_SCHEMA),
    update(audit_heads).where(audit_heads.c.length > 0).values(length=0, hash=NO_HASH),
]


def patient_config(url: str) -> DatabaseConfig:
    """Patient timeouts: the machine may be busy with other tests, and none of them measures time."""
    return DatabaseConfig(
        url=url,
        pool_size=24,
        pool_timeout_seconds=60,
        connect_timeout_seconds=60,
        statement_timeout_seconds=60,
        lock_timeout_seconds=60,
    )


@asynccontextmanager
async def as_owner(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A unit of work with the rights of the tables' owner, whatever the engine's role is."""
    async with engine.begin() as connection:
        owner = "SELECT set_config('role', tableowner, true) FROM pg_tables WHERE tablename = 'audit_entries'"
        await connection.execute(text(owner))
        yield connection


@asynccontextmanager
async def past_triggers(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The same where no trigger is heard, so that rows can be removed which are only ever added."""
    async with as_owner(engine) as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        yield connection


async def empty(engine: AsyncEngine) -> None:
    """Delete every row but those that belong to the schema."""
    async with past_triggers(engine) as connection:
        for statement in _EMPTIED:
            await connection.execute(statement)


async def make_due(engine: AsyncEngine, attempt: Attempt | None = None) -> None:
    """Let the time of every open attempt and webhook event, or of one attempt, come now, as if leases and pauses had passed."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE attempts SET lease_until = NULL, next_check_at = clock_timestamp() - interval '1 hour'"
                " WHERE state = 'OPEN' AND (CAST(:id AS uuid) IS NULL OR id = :id)"
            ),
            {"id": attempt.id if attempt is not None else None},
        )
        if attempt is None:
            await connection.execute(
                text("UPDATE webhook_events SET next_try_at = clock_timestamp() - interval '1 hour'")
            )


async def age_attempts(engine: AsyncEngine, by: timedelta) -> None:
    """Let so much time have passed since each attempt was stored, and since its outcome became unknown."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE attempts SET first_sent_at = first_sent_at - CAST(:by AS interval), unknown_since = unknown_since - :by"
            ),
            {"by": by},
        )


async def rows(engine: AsyncEngine, query: str, **parameters: object) -> list[tuple[object, ...]]:
    """What a query finds, for a look past the repositories."""
    async with engine.begin() as connection:
        return [tuple(row) for row in await connection.execute(text(query), parameters)]


@pytest.fixture(scope="session")
async def migrated_engine(database_url: str, app_database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on this worker's database as the application's role, once its owner has brought it to the newest schema."""
    owner = open_engine(patient_config(database_url))
    await migrate(owner, application=ApplicationRole(name=urlsplit(app_database_url).username or ""))
    await owner.dispose()
    engine = open_engine(patient_config(app_database_url))
    yield engine
    await engine.dispose()


@pytest.fixture
async def engine(migrated_engine: AsyncEngine) -> AsyncEngine:
    """The same engine, its database emptied for this test."""
    await empty(migrated_engine)
    return migrated_engine


@pytest.fixture
def units(engine: AsyncEngine) -> SqlUnitsOfWork:
    return SqlUnitsOfWork(engine)


@pytest.fixture
def reader(engine: AsyncEngine) -> SqlReader:
    return SqlReader(engine)
