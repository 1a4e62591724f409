import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.audit_chain import verify
from persistence.audit_chain import SqlAuditChains
from persistence.engine import DatabaseConfig, open_engine
from persistence.schema import _MIGRATION_LOCK, _config, current_revision, head_revision, migrate, pending_changes
from tests.support.database import patient_config, rows
from tests.support.postgres import another_database
from tests.support.statements import counted
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
    with counted(impatient) as asked:
        waiting = asyncio.create_task(migrate(impatient))

        async def has_asked_in_vain() -> bool:
            assert not waiting.done()
            return sum("pg_try_advisory_lock" in statement for statement in asked) > 1

        await until(has_asked_in_vain)
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


async def test_audit_entries_that_are_there_already_are_chained(fresh: AsyncEngine) -> None:
    await upgrade(fresh, "0003")
    await rows(
        fresh,
        "WITH payer AS (INSERT INTO users VALUES (gen_random_uuid(), 'a@example.test', 'A', 'CUSTOMER', now()) RETURNING id),"
        " paid AS (INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved,"
        "  disputed, capture_method, payment_method_id, metadata, processor, version, created_at, updated_at)"
        "  SELECT gen_random_uuid(), id, 'PENDING', 1, 'USD', 0, 0, 0, 0, 'AUTOMATIC', 'pm', '{}', 'stripe', 1, now(), now()"
        "  FROM payer RETURNING id)"
        " INSERT INTO audit_entries (id, transaction_id, action, actor_kind, details, at)"
        " SELECT gen_random_uuid(), id, 'transaction.created', 'SYSTEM', jsonb_build_object('n', n), now()"
        " FROM paid, generate_series(1, 100) AS n RETURNING 1",
    )
    await migrate(fresh)
    verdict = await verify(SqlAuditChains(fresh), {})
    assert (verdict.breaches, verdict.entries) == ([], 100)
    assert {head.length for head in verdict.heads} == {6, 7}
    # The next one goes where they end.
    insert = (
        "INSERT INTO audit_entries (id, action, actor_kind, details, at)"
        " VALUES (gen_random_uuid(), 'later', 'SYSTEM', '{}', now()) RETURNING 1"
    )
    await rows(fresh, insert)
    verdict = await verify(SqlAuditChains(fresh), {})
    assert (verdict.breaches, verdict.entries) == ([], 101)


async def upgrade(engine: AsyncEngine, revision: str) -> None:
    """Bring a database to a revision before the newest."""

    def go(connection: Connection) -> None:
        command.upgrade(_config(connection), revision)
        connection.commit()

    async with engine.connect() as connection:
        await connection.run_sync(go)
