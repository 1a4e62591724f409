"""Connections: what happens to one that died unnoticed."""

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.unit_of_work import SqlUnitsOfWork


async def test_a_connection_that_died_while_it_was_idle_is_replaced(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.engine._IDLE_SECONDS_MAX", 0.0)
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
