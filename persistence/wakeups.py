"""Wake-ups by LISTEN: the worker hears of a new webhook event within milliseconds instead of at its next look."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import asyncpg
import structlog
from sqlalchemy import make_url

from persistence.engine import DatabaseConfig
from persistence.webhook_events import WAKE_CHANNEL

log = structlog.get_logger(__name__)

_RECONNECT_SECONDS = 1.0


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
