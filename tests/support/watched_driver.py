"""The driver's connections as a test has them: all that is sent on one that was borrowed from the pool goes through the test."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.pool import Borrowed, MovingPool
from persistence.rows import Row


class WatchedDriver:
    """A connection of the driver's. Whoever watches it overrides `_sent`."""

    def __init__(self, driver: Any) -> None:  # Any: asyncpg is not typed
        self._driver = driver

    async def fetch(self, text: str, *arguments: object) -> Sequence[Row]:
        found: Sequence[Row] = await self._sent(self._driver.fetch, text, arguments)
        return found

    async def execute(self, text: str, *arguments: object) -> str:
        status: str = await self._sent(self._driver.execute, text, arguments)
        return status

    def __getattr__(self, name: str) -> Any:  # Any: whatever the driver has
        return getattr(self._driver, name)

    async def _sent(self, send: Callable[..., Awaitable[Any]], text: str, arguments: Sequence[object]) -> Any:
        """Send it, and return what the driver answers."""
        return await send(text, *arguments)


@contextmanager
def watching(engine: AsyncEngine, wrap: Callable[[Any], Any]) -> Iterator[None]:  # Any: asyncpg is not typed
    """Whoever borrows a connection of the engine's pool gets what `wrap` makes of it."""
    borrow = MovingPool.borrow

    async def borrowed(pool: MovingPool) -> Borrowed:
        taken = await borrow(pool)
        if pool is engine.sync_engine.pool:
            taken.driver = wrap(taken.driver)
        return taken

    with patch.object(MovingPool, "borrow", borrowed):
        yield
