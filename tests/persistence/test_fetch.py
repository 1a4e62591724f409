"""Reads past SQLAlchemy: they take connections of the same pool, and leave them as they found them, or closed."""

import asyncio
import os
import shutil
import signal
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from asyncpg.prepared_stmt import PreparedStatement
from sqlalchemy import Integer, bindparam, func, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.embedded_postgres import EmbeddedPostgres
from domain.errors import Unavailable
from persistence.engine import autocommitting, fetch, open_engine
from persistence.statements import compiled
from persistence.tables import users
from tests.support.captured_logs import captured_logs
from tests.support.database import patient_config
from tests.support.postgres import throwaway_folder
from tests.support.waiting import until
from tests.support.watched_driver import WatchedDriver, watching

_BACKEND = compiled(select(func.pg_backend_pid().label("pid")))
_SLEEP = compiled(select(func.pg_sleep(bindparam("seconds", type_=Integer)), func.pg_backend_pid().label("pid")))
_CRASHES = 5
_FAIL = compiled(select(1 / bindparam("divisor", type_=Integer)))


async def backend(engine: AsyncEngine) -> int:
    """The process of PostgreSQL's that serves a read."""
    (row,) = await fetch(engine, _BACKEND, {})
    return int(row["pid"])


async def end(app_database_url: str, pid: int) -> None:
    other = await asyncpg.connect(app_database_url)
    try:
        assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    finally:
        await other.close()


def test_a_list_of_any_length_is_no_part_of_a_text() -> None:
    with pytest.raises(ValueError, match="any length"):
        compiled(select(users.c.id).where(users.c.role.in_(["ADMIN", "SUPPORT"])))


def test_a_value_that_is_missing_is_an_error_and_one_too_many_is_not() -> None:
    statement = compiled(select(users.c.id).where(users.c.name == bindparam("name"), users.c.role == "ADMIN"))
    assert statement.arguments({"name": "Ada", "other": 1}) == ["Ada", "ADMIN"]
    with pytest.raises(KeyError):
        statement.arguments({"other": 1})


async def test_reads_and_units_of_work_share_one_pool(app_database_url: str, engine: AsyncEngine) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1, pool_timeout_seconds=0.01))
    own = await backend(small)
    async with small.begin() as connection:
        assert (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one() == own
        with pytest.raises(Unavailable):
            await backend(small)
    assert await backend(small) == own
    await small.dispose()


async def test_a_burst_of_reads_waits_its_turn(app_database_url: str, engine: AsyncEngine) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=2))
    found = await asyncio.gather(*(backend(small) for _ in range(40)))
    assert 1 <= len(set(found)) <= 2
    await small.dispose()


async def test_a_connection_that_died_while_it_was_idle_is_replaced(
    app_database_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.pool._IDLE_SECONDS_MAX", 0.0)
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    idle = await backend(small)
    await end(app_database_url, idle)
    assert await backend(small) != idle
    await small.dispose()


async def test_a_connection_that_has_just_died_is_taken_neither_by_a_read_nor_by_a_unit_of_work(
    app_database_url: str, engine: AsyncEngine
) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))

    async def by_read() -> int:
        return await backend(small)

    async def by_unit_of_work() -> int:
        async with autocommitting(small) as connection:
            return int((await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one())

    for take in (by_read, by_unit_of_work):
        idle = await take()
        async with small.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await end(app_database_url, idle)

        async def is_noticed(driver: Any = driver) -> bool:  # Any: asyncpg is not typed
            return bool(driver.is_closed())

        await until(is_noticed)
        assert await take() != idle
    await small.dispose()


async def test_a_connection_that_says_farewell_is_handed_out_to_nobody(
    app_database_url: str, engine: AsyncEngine
) -> None:
    """PostgreSQL closes it after its last words, and the driver may not have noticed when the next read comes."""

    class Farewell(WatchedDriver):
        async def _sent(self, *_: object) -> object:
            raise asyncpg.AdminShutdownError("terminating connection due to administrator command")

    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    before = await backend(small)
    with watching(small, Farewell), pytest.raises(Unavailable):
        await backend(small)
    assert await backend(small) != before
    await small.dispose()


async def test_a_connection_in_the_midst_of_its_end_is_given_up(
    app_database_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What asyncpg says of one that is used while PostgreSQL's farewell is being read."""
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    before = await backend(small)

    async def refuse(*_: object, **__: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "fetch", refuse)
        patched.setattr(PreparedStatement, "fetch", refuse)
        with pytest.raises(Unavailable):
            await backend(small)
        with pytest.raises(Unavailable):
            async with autocommitting(small) as connection:
                await connection.execute(select(1))
    assert await backend(small) != before
    await small.dispose()


async def test_a_read_whose_connection_is_cut_is_told_so_and_the_next_one_gets_another(
    app_database_url: str, engine: AsyncEngine
) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    lost = await backend(small)
    reading = asyncio.create_task(fetch(small, _SLEEP, {"seconds": 60}))
    await asyncio.sleep(0)
    await end(app_database_url, lost)
    with pytest.raises(Unavailable):
        await reading
    assert await backend(small) != lost
    await small.dispose()


async def test_a_read_that_nobody_waits_for_any_more_leaves_no_connection_behind(
    app_database_url: str, engine: AsyncEngine
) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    before = await backend(small)
    reading = asyncio.create_task(fetch(small, _SLEEP, {"seconds": 60}))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await backend(small) != before
    await small.dispose()


async def test_a_statement_that_takes_too_long_is_ended_and_costs_no_connection(
    app_database_url: str, engine: AsyncEngine
) -> None:
    config = replace(patient_config(app_database_url), pool_size=1, statement_timeout_seconds=0.05)
    small = open_engine(config)
    before = await backend(small)
    with pytest.raises(Unavailable):
        await fetch(small, _SLEEP, {"seconds": 60})
    assert await backend(small) == before
    await small.dispose()


async def test_a_statement_that_fails_is_no_lack_of_a_database(app_database_url: str, engine: AsyncEngine) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    before = await backend(small)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await fetch(small, _FAIL, {"divisor": 0})
    assert await backend(small) == before
    await small.dispose()


async def test_what_a_read_used_serves_sqlalchemy_too_and_the_other_way_round(
    app_database_url: str, engine: AsyncEngine
) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    for _ in range(3):
        read_by = await backend(small)
        async with autocommitting(small) as connection:
            assert (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one() == read_by
    await small.dispose()


@pytest.mark.parametrize(
    ("changed", "sqlstate"), [({"password": "not-its-password"}, "28P01"), ({"database": "nowhere"}, "3D000")]
)
async def test_a_database_that_does_not_let_us_in_is_unavailable_and_the_log_says_why(
    app_database_url: str, engine: AsyncEngine, changed: dict[str, str], sqlstate: str
) -> None:
    url = make_url(app_database_url).set(**changed).render_as_string(hide_password=False)  # type: ignore[arg-type]  # all are texts
    shut_out = open_engine(replace(patient_config(app_database_url), url=url))
    with captured_logs() as logs, pytest.raises(Unavailable):
        await backend(shut_out)
    assert [(line["event"], line["sqlstate"]) for line in logs.lines] == [("database.refuses_us", sqlstate)]
    await shut_out.dispose()


async def test_all_that_a_crash_of_the_database_does_to_reads_is_told_as_unavailable() -> None:
    """One killed process makes PostgreSQL end all others and recover; meanwhile it lets nobody in."""
    folder = throwaway_folder()
    try:
        with EmbeddedPostgres(folder, throwaway=True) as postgres:
            own = open_engine(replace(patient_config(postgres.url), pool_size=4))
            told: set[str] = set()

            async def read() -> bool:
                try:
                    await backend(own)
                except Unavailable as error:
                    told.add(type(error.__cause__).__name__)
                    return False
                return True

            async def recovered() -> bool:
                return all(await asyncio.gather(*(read() for _ in range(20))))

            for _ in range(_CRASHES):
                os.kill(await backend(own), signal.SIGKILL)
                await until(recovered)
            # Or else it was no crash that anybody noticed.
            assert len(told) > 1, told
            await own.dispose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
