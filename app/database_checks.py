"""What is checked of the database before API and worker begin: that it keeps what it acknowledges, and guards what it must."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.commands import CommandFailed
from app.settings_group import Environment
from domain.errors import Unavailable
from persistence.durability import settings_off
from persistence.roles import changeable_by

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 1.0


class UnsafeDatabase(CommandFailed):
    """Payments that were acknowledged could be lost in this database."""


async def durability_complaint(engine: AsyncEngine) -> str | None:
    """What is wrong with the database's durability, in a sentence; None where nothing is. Raises Unavailable."""
    off = await settings_off(engine)
    if not off:
        return None
    listed = " and ".join([", ".join(off[:-1]), off[-1]] if len(off) > 1 else off)
    return (
        f"The database could lose payments that were acknowledged: {listed} {'are' if len(off) > 1 else 'is'} off. "
        "Turn that on; see docs/runbook.md."
    )


async def check_database(engine: AsyncEngine, environment: Environment) -> None:
    """Raise UnsafeDatabase in production, and only warn in development. Raises Unavailable where it cannot be asked."""
    complaint = await durability_complaint(engine)
    if environment is not Environment.PRODUCTION:
        if complaint is not None:
            log.warning("database.not_durable", error=complaint)
        return
    if complaint is not None:
        raise UnsafeDatabase(complaint)
    if tables := await changeable_by(engine):
        log.warning("database.role_may_change", role=engine.url.username, tables=tables)


async def check_when_reachable(engine: AsyncEngine, environment: Environment) -> None:
    """The same, however long it takes until the database can be asked. Raises UnsafeDatabase."""
    while True:
        try:
            return await check_database(engine, environment)
        except Unavailable as error:
            log.warning("database.unavailable", error=error.message)
        await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def checked(engine: AsyncEngine, environment: Environment, stop: Callable[[], None]) -> AsyncIterator[None]:
    """Check the database before the block; one that is away, as soon as it is back, calling `stop` if it is refused then.

    Raises UnsafeDatabase, before the block or at its end.
    """
    try:
        await check_database(engine, environment)
    except Unavailable:
        checking = asyncio.create_task(check_when_reachable(engine, environment))
        checking.add_done_callback(lambda task: None if task.cancelled() or task.exception() is None else stop())
        try:
            yield
        finally:
            checking.cancel()
            with suppress(asyncio.CancelledError):
                await checking
    else:
        yield
