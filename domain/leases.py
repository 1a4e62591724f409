"""Leases: whoever works on a row holds it for a short while, and renews that for as long as the work goes on.

So one slow call does not lose the row to somebody else, and a holder that crashed keeps it for one lease at the most.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from domain.errors import Unavailable
from domain.ports import LeaseLost

LEASE = timedelta(seconds=15)
"""How long a claim holds without being renewed, by the database's clock.

A crashed payment is resolved one lease, one look of the worker (1 s) and its calls later: within 30 s, with room for one
call that takes as long as the processor's deadline allows.
"""

HEARTBEAT = timedelta(seconds=5)
"""How often a claim is renewed: two renewals may fail before the lease runs out."""

SPREAD = timedelta(seconds=10)
"""By how much more, for each claim without a report, the next one is put off at random.

What was claimed together with something deadly died with it. Taken up again at the same moment, it would die again and be
parked with it; so those who died together are taken up apart.
"""


@asynccontextmanager
async def kept(renew: Callable[[], Awaitable[None]], *, every: timedelta | None = None) -> AsyncIterator[None]:
    """Renew a lease while the block runs, once each HEARTBEAT unless told otherwise.

    A lease that was lost is not renewed any more; a database that is away is asked again.

    Work that is over before the first renewal costs a timer, and no statement.
    """
    heart = _Heart(renew, (every or HEARTBEAT).total_seconds())
    heart.start()
    try:
        yield
    finally:
        await heart.stop()


class _Heart:
    """Beats on a timer; each beat is a task of its own, and the next one is set when it is over."""

    def __init__(self, renew: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._renew = renew
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._begin)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None:
            # A statement that is on its way is not broken off: that would cost its connection.
            beat, self._beat = self._beat, None
            await beat

    def _begin(self) -> None:
        self._timer = None
        self._beat = asyncio.create_task(self._renew_once())

    async def _renew_once(self) -> None:
        try:
            await self._renew()
        except LeaseLost:
            return
        except Unavailable:
            pass
        if self._beat is not None:
            self._beat = None
            self.start()
