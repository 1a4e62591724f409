import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.engine import DatabaseConfig, open_engine
from persistence.schema import _MIGRATION_LOCK, current_revision, head_revision, migrate, pending_changes
from tests.support.database import patient_config, rows
from tests.support.postgres import another_database
from tests.support.waiting import until


@pytest.fixture
async def fresh_url(database_url: str) -> AsyncIterator[str]:
    async with another_database(database_url) as url:
        yield url


@pytest.fixture
async def fresh(fresh_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(patient_config(fresh_url))
    yield engine
    await engine.dispose()


async def test_an_empty_database_becomes_the_newest_schema_and_stays_it(fresh: AsyncEngine) -> None:
    assert await current_revision(fresh) is None
    steps: list[str] = []
    await migrate(fresh, steps.append)
    assert steps
    assert await current_revision(fresh) == head_revision()
    assert await pending_changes(fresh) == []
    again: list[str] = []
    await migrate(fresh, again.append)
    assert again == []
    assert await pending_changes(fresh) == []


async def test_of_two_that_migrate_at_once_one_does_it_and_both_succeed(fresh: AsyncEngine) -> None:
    steps: list[str] = []
    await asyncio.gather(*(migrate(fresh, steps.append) for _ in range(3)))
    assert len(steps) == len(set(steps))
    assert await current_revision(fresh) == head_revision()
    assert await pending_changes(fresh) == []


async def test_a_migration_waits_for_another_one_for_as_long_as_it_takes(fresh_url: str, fresh: AsyncEngine) -> None:
    impatient = open_engine(DatabaseConfig(url=fresh_url, lock_timeout_seconds=0.01, statement_timeout_seconds=0.05))
    held, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold_the_lock() -> None:
        async with fresh.connect() as connection:
            await connection.execute(text(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})"))
            held.set()
            await may_go_on.wait()
            await connection.execute(text(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})"))

    slow = asyncio.create_task(hold_the_lock())
    await held.wait()
    waiting = asyncio.create_task(migrate(impatient))

    async def has_waited_past_both_timeouts() -> bool:
        assert not waiting.done()
        query = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            " AND clock_timestamp() - query_start > interval '0.2 s'"
        )
        return await rows(fresh, query) != []

    await until(has_waited_past_both_timeouts)
    may_go_on.set()
    await asyncio.gather(slow, waiting)
    assert await current_revision(fresh) == head_revision()
    await impatient.dispose()


async def test_requests_find_their_timeouts_again_after_a_migration(fresh_url: str) -> None:
    engine = open_engine(DatabaseConfig(url=fresh_url, pool_size=1))
    await migrate(engine)
    async with engine.connect() as connection:
        for name in ("statement_timeout", "lock_timeout"):
            assert (await connection.execute(text(f"SHOW {name}"))).scalar_one() == "5s"
    await engine.dispose()


async def test_a_table_that_is_changed_by_hand_is_noticed(fresh: AsyncEngine) -> None:
    await migrate(fresh)
    async with fresh.begin() as connection:
        await connection.execute(text("ALTER TABLE transactions DROP CONSTRAINT uq_transactions_processor_reference"))
    assert await pending_changes(fresh) != []
