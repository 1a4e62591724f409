"""A pool of connections that tells a queue that moves from one that stands."""

import asyncio

from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_only
from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty


class _MovingQueue(AsyncAdaptedQueue[ConnectionPoolEntry]):
    """Whoever waits gives up once nothing has been put back for so long; `timeout` is in seconds."""

    _moved_at = 0.0

    def put_nowait(self, item: ConnectionPoolEntry) -> None:
        self._moved_at = asyncio.get_running_loop().time()
        super().put_nowait(item)

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        if not block or timeout is None or not self.empty():
            return super().get(block, timeout)
        return await_only(self._wait(timeout))

    async def _wait(self, seconds: float) -> ConnectionPoolEntry:
        loop = asyncio.get_running_loop()
        began = loop.time()
        # One wait from beginning to end: to ask anew would be to stand at the end of the queue again.
        getting, taken = asyncio.ensure_future(self._queue.get()), False
        try:
            while not taken and (patience := max(began, self._moved_at) + seconds - loop.time()) > 0:
                await asyncio.wait({getting}, timeout=patience)
                taken = getting.done()
        finally:
            # What came at the very moment in which nobody wanted it any more is not lost.
            if not taken and not getting.cancel() and not getting.cancelled():
                self.put_nowait(getting.result())
        if not taken:
            raise Empty
        return getting.result()


class MovingPool(AsyncAdaptedQueuePool):
    """Its `timeout` is for how long no connection may have become free.

    A burst of requests waits its turn while connections come back one after the other; where none does, because statements
    hang or all are held, everybody who waits is told so within that time.
    """

    _queue_class = _MovingQueue
    # It logs as SQLAlchemy's own pools do, and not as a part of Florin, of which every step is worth a line.
    _sqla_logger_namespace = "sqlalchemy.pool.MovingPool"
