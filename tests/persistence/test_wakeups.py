"""Wakeups: who listens hears the bell."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.engine import DatabaseConfig, open_engine
from persistence.wakeups import ListenForWakeups, RingByNotify
from tests.support.database import rows
from tests.support.statements import counted
from tests.support.waiting import until


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
async def test_who_listens_hears_the_bell(app_database_url: str, engine: AsyncEngine, scheme: str) -> None:
    url = app_database_url.replace("postgresql", scheme, 1)
    async with ListenForWakeups(DatabaseConfig(url=url, connect_timeout_seconds=60)) as wakeups, asyncio.timeout(60):
        listening = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'"
        await until(lambda: rows(engine, listening))
        bell = RingByNotify(engine)
        waiting = asyncio.create_task(wakeups.wait())
        bell.ring()
        await waiting
        # One that comes while nobody waits is not lost.
        bell.ring()
        await bell.close()
        await wakeups.wait()


async def test_many_rings_at_once_are_two_statements(engine: AsyncEngine) -> None:
    bell = RingByNotify(engine)
    with counted(engine) as statements:
        for _ in range(10):
            bell.ring()
        await asyncio.sleep(0)
        for _ in range(10):
            bell.ring()
        await bell.close()
    assert len(statements) == 2


async def test_a_bell_whose_database_is_away_is_silent_and_rings_again_later() -> None:
    away = open_engine(DatabaseConfig(url="postgresql://nobody@127.0.0.1:1/none", connect_timeout_seconds=1))
    bell = RingByNotify(away)
    for _ in range(2):
        bell.ring()
        await bell.close()
    await away.dispose()
