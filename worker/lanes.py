"""A lane: one kind of work, a bounded number of pieces at a time, taken up as places become free."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

import structlog

from domain.errors import Unavailable

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Lane(Generic[T]):
    """Claims what is due and works on it. Lanes do not wait for one another: a slow piece keeps one place of its own lane.

    `work` tells of its failures itself and raises nothing.
    """

    def __init__(
        self,
        name: str,
        *,
        places: int,
        claim: Callable[[int], Awaitable[list[T]]],
        work: Callable[[T], Awaitable[None]],
    ) -> None:
        self._name = name
        self._places = places
        self._claim = claim
        self._work = work
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._full = False
        self._stopping = False

    def ring(self) -> None:
        """Look at once whether something is due."""
        self._changed.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns once what has been begun is finished."""
        self._stopping = True
        self._changed.set()

    async def run(self, poll_seconds: float) -> None:
        """Work until stopped, looking again so often when nobody rings."""
        while not self._stopping:
            self._changed.clear()
            await self._fill()
            with suppress(TimeoutError):
                async with asyncio.timeout(poll_seconds):
                    await self._changed.wait()
        while self._running:
            await asyncio.wait(self._running)

    async def once(self) -> bool:
        """Claim and do what is due now; True where a full lane suggests that there is more."""
        await self._fill()
        full = self._full
        while self._running:
            await asyncio.wait(self._running)
        return full

    async def _fill(self) -> None:
        free = self._places - len(self._running)
        for piece in await self._claimed(free) if free else []:
            task = asyncio.create_task(self._do(piece))
            self._running.add(task)
            task.add_done_callback(self._finished)
        self._full = len(self._running) == self._places

    async def _claimed(self, free: int) -> list[T]:
        """What was claimed: nothing while the database is away, which is waited for and not given up on."""
        try:
            return await self._claim(free)
        except Unavailable as error:
            log.warning("worker.database_unavailable", lane=self._name, error=error.message)
        except Exception:
            log.exception("worker.claim_failed", lane=self._name)
        return []

    async def _do(self, piece: T) -> None:
        await self._work(piece)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # Where places were free already, nothing more was due.
        if self._full:
            self._changed.set()
