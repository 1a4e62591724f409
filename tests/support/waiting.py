"""Waiting for what another task or process does, with an end to it."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[object]], *, seconds_max: float = 60) -> None:
    """Return once it holds. Raises TimeoutError where it does not for so long."""
    async with asyncio.timeout(seconds_max):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.005)
