"""Connections: what happens where there is none, and to one that is gone."""

import asyncio
import logging
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Unavailable
from persistence.engine import autocommitting, open_engine
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.captured_logs import captured_logs
from tests.support.database import patient_config
from tests.support.records import user


async def test_a_connection_that_died_while_it_was_idle_is_replaced(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.pool._IDLE_SECONDS_MAX", 0.0)
    units = SqlUnitsOfWork(engine)
    async with engine.connect() as connection:
        idle = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    other = await asyncpg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", idle)
    finally:
        await other.close()
    async with units.begin() as uow:
        assert await uow.users.get_by_email("nobody@example.com") is None


async def test_who_cannot_get_a_connection_is_told_so(app_database_url: str, engine: AsyncEngine) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1, pool_timeout_seconds=0.01))
    units = SqlUnitsOfWork(small)
    async with units.begin():
        with pytest.raises(Unavailable):
            async with units.begin():
                raise AssertionError("there was no second connection")
    await small.dispose()


async def test_a_pool_is_as_quiet_as_sqlalchemys_own(app_database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    await open_engine(patient_config(app_database_url)).dispose()
    assert caplog.records == []


async def test_a_burst_waits_its_turn_for_as_long_as_connections_become_free(
    app_database_url: str, engine: AsyncEngine
) -> None:
    seconds, statements = 2.0, 8
    small = open_engine(replace(patient_config(app_database_url), pool_size=1, pool_timeout_seconds=seconds))

    async def work() -> None:
        async with autocommitting(small) as connection:
            await connection.exec_driver_sql(f"SELECT pg_sleep({seconds / 4})")

    # The last of them waits nearly twice as long as one may wait for a connection of which nobody lets go.
    await asyncio.gather(*(work() for _ in range(statements)))
    await small.dispose()


async def test_a_connection_that_comes_back_as_its_waiter_leaves_is_not_lost(
    app_database_url: str, engine: AsyncEngine
) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1, pool_timeout_seconds=5))
    units = SqlUnitsOfWork(small)

    async def look() -> None:
        async with units.autocommit() as uow:
            await uow.users.get_by_email("nobody@example.com")

    for turns in range(12):
        async with units.autocommit():
            waiter = asyncio.create_task(look())
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        await look()
    await small.dispose()


async def test_a_database_that_ends_the_connection_is_unavailable_and_keeps_nothing(
    engine: AsyncEngine, units: SqlUnitsOfWork
) -> None:
    somebody = user(UUID(int=1))

    async def lose_the_connection() -> None:
        async with engine.connect() as watcher, units.begin() as uow:
            await uow.users.add(somebody)
            await watcher.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE state = 'idle in transaction' AND datname = current_database() AND pid <> pg_backend_pid()"
            )
            await uow.users.get(somebody.id)

    with pytest.raises(Unavailable):
        await lose_the_connection()
    async with units.begin() as uow:
        assert await uow.users.get(somebody.id) is None


@pytest.mark.parametrize(
    ("changed", "sqlstate"), [({"password": "not-its-password"}, "28P01"), ({"database": "nowhere"}, "3D000")]
)
async def test_a_database_that_does_not_let_us_in_is_unavailable_and_the_log_says_why(
    app_database_url: str, engine: AsyncEngine, changed: dict[str, str], sqlstate: str
) -> None:
    url = make_url(app_database_url).set(**changed).render_as_string(hide_password=False)  # type: ignore[arg-type]  # all are texts
    shut_out = open_engine(replace(patient_config(app_database_url), url=url))
    with captured_logs() as logs, pytest.raises(Unavailable):
        async with autocommitting(shut_out):
            raise AssertionError("it was let in")
    assert [(line["event"], line["sqlstate"]) for line in logs.lines] == [("database.refuses_us", sqlstate)]
    await shut_out.dispose()
