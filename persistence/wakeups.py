"""Wake-ups by NOTIFY and LISTEN: the worker hears of a new webhook event within milliseconds instead of at its next look."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import asyncpg
import structlog
from sqlalchemy import func, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Unavailable
from persistence.engine import DatabaseConfig, autocommitting

WAKE_CHANNEL = "florin_worker"
_WAKE = select(func.pg_notify(WAKE_CHANNEL, ""))

log = structlog.get_logger(__name__)

_RECONNECT_SECONDS = 1.0


class RingByNotify:
    """The port `domain.messaging.webhook_events.WorkerBell`.

    PostgreSQL lets one transaction that notifies commit after the other. One that also stored something would hold up all
    others until it is on disk, so that a wake-up is a statement of its own; and one is enough for all that was stored while
    the one before was on its way.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._again = False
        self._ringing: asyncio.Task[None] | None = None

    def ring(self) -> None:
        self._again = True
        if self._ringing is None:
            self._ringing = asyncio.create_task(self._ring())

    async def close(self) -> None:
        """Let the last ring be heard."""
        if self._ringing is not None:
            await self._ringing

    async def _ring(self) -> None:
        try:
            while self._again:
                self._again = False
                with suppress(Unavailable):
                    async with autocommitting(self._engine) as connection:
                        await connection.execute(_WAKE)
        finally:
            self._ringing = None


class ListenForWakeups:
    """A connection of its own that listens, and is opened again when it is lost; polling goes on meanwhile."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def wait(self) -> None:
        await self._woken.wait()
        self._woken.clear()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("worker.listen_lost", error=str(error))
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        # asyncpg knows no other name for PostgreSQL, such as SQLAlchemy's with the driver in it.
        url = make_url(self._config.url).set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(url, timeout=self._config.connect_timeout_seconds)
        closed = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(WAKE_CHANNEL, self._wake)
            await closed.wait()
        finally:
            await connection.close(timeout=self._config.connect_timeout_seconds)

    def _wake(self, *_: Any) -> None:  # Any: asyncpg hands over connection, process id, channel and payload
        self._woken.set()
