"""A pool of connections that tells a queue that moves from one that stands, and hands out the driver's own connections."""

import asyncio
import time
from typing import Any

from sqlalchemy import Engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty

_IDLE_SINCE = "florin_idle_since"
_IDLE_SECONDS_MAX = 1.0


class _MovingQueue(AsyncAdaptedQueue[ConnectionPoolEntry]):
    """Whoever waits gives up once nothing has been put back for so long; `timeout` is in seconds."""

    _moved_at = 0.0
    _waiting = 0

    def put_nowait(self, item: ConnectionPoolEntry) -> None:
        self._moved_at = asyncio.get_running_loop().time()
        super().put_nowait(item)

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        if not block or timeout is None or not self.empty():
            return super().get(block, timeout)
        return await_only(self.wait(timeout))

    def has_spare(self) -> bool:
        """Whether something lies there that nobody has been waiting for."""
        return not self._waiting and not self.empty()

    async def wait(self, seconds: float) -> ConnectionPoolEntry:
        """Raises Empty."""
        loop = asyncio.get_running_loop()
        limit, began = asyncio.timeout(None), loop.time()
        timer: asyncio.TimerHandle | None = None

        def be_patient() -> None:
            nonlocal timer
            patience = max(began, self._moved_at) + seconds - loop.time()
            if patience > 0:
                timer = loop.call_later(patience, be_patient)
            else:
                limit.reschedule(loop.time())

        be_patient()
        self._waiting += 1
        try:
            # One wait from beginning to end: to ask anew would be to stand at the end of the queue again.
            async with limit:
                entry: ConnectionPoolEntry = await self._queue.get()
        except TimeoutError:
            raise Empty from None
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting -= 1
        return entry


class Borrowed:
    """A connection of the pool as the driver's own, for whoever needs nothing of SQLAlchemy. It is given back, once."""

    __slots__ = ("_held", "_pool", "driver")

    def __init__(self, pool: "MovingPool", held: ConnectionPoolEntry | PoolProxiedConnection) -> None:
        self._pool = pool
        self._held = held
        # Any: asyncpg is not typed.
        self.driver: Any = held.driver_connection

    def give_back(self, *, broken: BaseException | None = None) -> None:
        """`broken` is what leaves nobody knowing what state the connection is in: it is closed then."""
        held = self._held
        if broken is not None:
            held.invalidate(broken)
        if isinstance(held, PoolProxiedConnection):
            held.close()
            return
        held.info[_IDLE_SINCE] = time.monotonic()
        self._pool.put_back(held)


class MovingPool(AsyncAdaptedQueuePool):
    """Its `timeout` is for how long no connection may have become free.

    A burst of requests waits its turn while connections come back one after the other; where none does, because statements
    hang or all are held, everybody who waits is told so within that time.
    """

    _queue_class = _MovingQueue
    # Of the queue's class: SQLAlchemy declares what all of its queues have in common.
    _pool: _MovingQueue
    # It logs as SQLAlchemy's own pools do, and not as a part of Florin, of which every step is worth a line.
    _sqla_logger_namespace = "sqlalchemy.pool.MovingPool"

    async def borrow(self) -> Borrowed:
        """A connection that no unit of work is open on. Raises as SQLAlchemy does where there is none in time.

        One that was used a moment ago is taken as it is. Whatever else there is to do is SQLAlchemy's: to open one, to ask one
        that was idle whether it still lives.
        """
        entry: ConnectionPoolEntry | None = None
        if self._pool.has_spare():
            entry = self._pool.get_nowait()
        elif self._overflow >= self._max_overflow:
            # None lies there, and none may be opened.
            try:
                entry = await self._pool.wait(self._timeout)
            except Empty:
                raise exc.TimeoutError("No connection of the pool has become free.") from None
        if entry is not None:
            if entry.dbapi_connection is not None and not _is_doubtful(entry):
                return Borrowed(self, entry)
            self._pool.put_nowait(entry)
        return Borrowed(self, await greenlet_spawn(self.connect))

    def put_back(self, entry: ConnectionPoolEntry) -> None:
        self._do_return_conn(entry)


def _is_doubtful(entry: ConnectionPoolEntry) -> bool:
    idle_since = entry.info.get(_IDLE_SINCE)
    if idle_since is None or time.monotonic() - idle_since >= _IDLE_SECONDS_MAX:
        return True
    return _is_closed(entry)


def _is_closed(entry: ConnectionPoolEntry) -> bool:
    """Whether the driver has noticed that the connection is gone, which it mostly does before anybody asks."""
    driver: Any = entry.driver_connection  # Any: asyncpg is not typed
    return bool(driver.is_closed())


def ask_idle_connections(engine: Engine) -> None:
    """Ask a connection whether it is alive before it is used again, if it has been idle for a while.

    The pool's own `pool_pre_ping` asks each time, which costs every unit of work a round trip on a busy server.
    """

    @event.listens_for(engine, "checkin")
    def remember(_: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: DBAPIConnection, record: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
        alive = not _is_closed(record)
        idle_since = record.info.get(_IDLE_SINCE)
        if alive and (idle_since is None or time.monotonic() - idle_since < _IDLE_SECONDS_MAX):
            return
        try:
            alive = alive and engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            alive = False
        if not alive:
            # The pool opens another one in its place.
            raise exc.DisconnectionError("The connection was closed while it was idle.")
