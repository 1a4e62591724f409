"""Processes that can be killed: tasks whose every statement and call to the processor is a point on the timeline.

A kill aborts the database connection as the death of a process does, without a word to the server. The exception that
unwinds the task afterwards derives from BaseException, and no `finally` on its way can reach the database or the processor:
they are closed to a process that is dead.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context, ContextVar
from typing import Any, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from persistence.unit_of_work import SqlUnitOfWork
from tests.faults.timeline import How, PointKind, Timeline
from tests.support.units import WatchedUnits

T = TypeVar("T")
Gone: TypeAlias = Callable[[int], Awaitable[None]]

_running: ContextVar["Process | None"] = ContextVar("_running", default=None)
_by_itself: ContextVar[bool] = ContextVar("_by_itself", default=False)
_UNHEARD = "unheard"


class Killed(BaseException):
    """The process is gone."""


class Process:
    """One process of the service, the API's or the worker's. `stall` is awaited where it stands still."""

    def __init__(self, name: str, timeline: Timeline, stall: Callable[["Process"], Awaitable[None]]) -> None:
        self.name = name
        self.alive = True
        self._timeline = timeline
        self._stall = stall

    async def run(self, work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine sends and receives
        """Do the work as this process. Raises Killed where it was killed, and Unavailable for its remains."""

        async def as_this() -> T:
            _running.set(self)
            return await work

        try:
            # In a context of its own: nothing of whoever started it is open here.
            return await asyncio.create_task(as_this(), context=Context())
        except Exception:
            if not self.alive:
                # Its own cleaning up came to nothing, as it should; nobody is left to hear of that.
                raise Killed from None
            raise

    def reach(self, kind: PointKind, what: str) -> How | None:
        """Come to a point. Raises Killed where it is the last one, and at every one afterwards."""
        if not self.alive:
            raise Killed
        how = self._timeline.reach(self.name, kind, what)
        if how is How.KILL:
            self.alive = False
            raise Killed
        return how

    async def stall(self) -> None:
        await self._stall(self)


async def come_to(kind: PointKind, what: str) -> None:
    """Come to a point outside of the database, as the process that is running."""
    process = _running.get()
    if process is not None and process.reach(kind, what) is How.STALL:
        await process.stall()


class ProcessUnits(WatchedUnits):
    """Real units of work, closed to processes that are dead."""

    def begin(self) -> AbstractAsyncContextManager[SqlUnitOfWork]:
        _check_alive()
        return super().begin()

    def autocommit(self) -> AbstractAsyncContextManager[SqlUnitOfWork]:
        _check_alive()
        return self._watch(self._alone())

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[SqlUnitOfWork]:
        token = _by_itself.set(True)
        try:
            async with self._units.autocommit() as uow:
                yield uow
        finally:
            _by_itself.reset(token)


def _check_alive() -> None:
    process = _running.get()
    if process is not None and not process.alive:
        raise Killed


class _Breaking:
    """Comes to points in the database, and breaks connections there."""

    def __init__(self, gone: Gone) -> None:
        self._gone = gone

    def reach(self, process: Process, connection: Connection, kind: PointKind, what: str) -> How | None:
        """Come to a point. Raises Killed."""
        try:
            how = process.reach(kind, what)
        except Killed:
            self._abort(connection)
            connection.invalidate()
            raise
        if how is How.STALL:
            await_only(process.stall())
        if how is How.CUT:
            self._abort(connection)
        return how

    def break_off(self, connection: Connection) -> None:
        """Break the connection, and let the process hear of it as it would from the driver."""
        self._abort(connection)
        connection.invalidate()
        raise asyncpg.ConnectionDoesNotExistError("the connection broke before the answer came")

    def _abort(self, connection: Connection) -> None:
        driver = _driver(connection)
        backend = driver.get_server_pid()
        driver.terminate()
        await_only(self._gone(backend))


def watch(engine: AsyncEngine, gone: Gone) -> None:
    """Make every statement and commit on this engine a point, where a process is running.

    `gone` waits until the server has noticed that a connection is gone. That takes as long as the server is busy, and a run
    would not be the same each time if somebody who is dead held its locks now and then.
    """
    watched, breaking = engine.sync_engine, _Breaking(gone)

    @event.listens_for(watched, "before_cursor_execute")
    def before(connection: Connection, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        process = _running.get()
        if process is None:
            return
        how = breaking.reach(process, connection, _kind_of(statement), _shortened(statement))
        setattr(context, _UNHEARD, how is How.UNHEARD)

    @event.listens_for(watched, "after_cursor_execute")
    def after(connection: Connection, _cursor: Any, _text: str, _values: Any, context: Any, _many: bool) -> None:
        if getattr(context, _UNHEARD, False):
            breaking.break_off(connection)

    @event.listens_for(watched, "commit")
    def commit(connection: Connection) -> None:
        process = _running.get()
        if process is None:
            return
        if breaking.reach(process, connection, PointKind.COMMIT, "COMMIT") is How.UNHEARD:
            pooled: Any = connection.connection.dbapi_connection  # Any: the driver's own type is not public
            pooled.commit()
            breaking.break_off(connection)


def _driver(connection: Connection) -> Any:  # Any: asyncpg has no types
    return connection.connection.driver_connection


def _kind_of(statement: str) -> PointKind:
    if not _by_itself.get():
        return PointKind.STATEMENT
    reads = re.match(r"\s*(SELECT|WITH)\b(?!.*\b(INSERT|UPDATE|DELETE)\b)", statement, re.DOTALL)
    return PointKind.READ if reads else PointKind.WRITE


def _shortened(statement: str) -> str:
    """A statement as a person would name it: what it does, to which table."""
    words = re.search(r"(INSERT INTO|(?<!FOR )UPDATE|DELETE FROM)\s+(\w+)", statement)
    if words:
        return f"{words[1].split()[0]} {words[2]}"
    table = re.search(r"FROM\s+(\w+)", statement)
    locks = " FOR UPDATE" if "FOR UPDATE" in statement else ""
    return f"SELECT {table[1] if table else '...'}{locks}"
