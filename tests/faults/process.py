"""Processes that can be killed: tasks whose every statement and call to the processor is a point on the timeline.

A kill aborts the database connection as the death of a process does, without a word to the server. The exception that
unwinds the task afterwards derives from BaseException, and no `finally` on its way can reach the database or the processor:
they are closed to a process that is dead.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import Context, ContextVar
from typing import Any, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.unit_of_work import SqlUnitOfWork
from tests.faults.timeline import How, PointKind, Timeline
from tests.support.units import WatchedUnits
from tests.support.watched_driver import WatchedDriver, watching

T = TypeVar("T")
Gone: TypeAlias = Callable[[int], Awaitable[None]]

_running: ContextVar["Process | None"] = ContextVar("_running", default=None)
_by_itself: ContextVar[bool] = ContextVar("_by_itself", default=False)
# Before the first statement nothing has happened, and what is rolled back is gone with the connection anyway.
_NO_POINTS = {"BEGIN", "ROLLBACK"}


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
        self.check_alive()
        how = self._timeline.reach(self.name, kind, what)
        if how is How.KILL:
            self.alive = False
            raise Killed
        return how

    def check_alive(self) -> None:
        """Raises Killed."""
        if not self.alive:
            raise Killed

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
    if process is not None:
        process.check_alive()


class _Breaking(WatchedDriver):
    """The driver's connection of a running process: all that is sent on it is a point, where it may break."""

    def __init__(self, driver: Any, process: Process, gone: Gone) -> None:  # Any: asyncpg has no types
        super().__init__(driver)
        self._process = process
        self._gone = gone

    async def _sent(self, send: Callable[..., Awaitable[Any]], text: str, arguments: Sequence[object]) -> Any:
        """Send it, where the process lives and the connection holds. Raises Killed, and what the driver raises."""
        how = await self._reach(text)
        answer = await super()._sent(send, text, arguments)
        if how is How.UNHEARD:
            await self._abort()
            raise asyncpg.ConnectionDoesNotExistError("the connection broke before the answer came")
        return answer

    async def _reach(self, text: str) -> How | None:
        try:
            if text in _NO_POINTS:
                self._process.check_alive()
                return None
            how = self._process.reach(_kind_of(text), _shortened(text))
        except Killed:
            await self._abort()
            raise
        if how is How.STALL:
            await self._process.stall()
        if how is How.CUT:
            await self._abort()
        return how

    async def _abort(self) -> None:
        if self._driver.is_closed():
            return
        backend = self._driver.get_server_pid()
        self._driver.terminate()
        await self._gone(backend)


@contextmanager
def watched(engine: AsyncEngine, gone: Gone) -> Iterator[None]:
    """Make every statement and commit on this engine a point, where a process is running.

    `gone` waits until the server has noticed that a connection is gone. That takes as long as the server is busy, and a run
    would not be the same each time if somebody who is dead held its locks now and then.
    """

    def wrap(driver: Any) -> Any:  # Any: as above
        process = _running.get()
        return driver if process is None else _Breaking(driver, process, gone)

    def refuse(*_: object) -> None:
        # There would be no point at what is sent in this way.
        assert _running.get() is None, "A process has sent something through SQLAlchemy."

    event.listen(engine.sync_engine, "before_cursor_execute", refuse)
    try:
        with watching(engine, wrap):
            yield
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", refuse)


def _kind_of(statement: str) -> PointKind:
    if statement == "COMMIT":
        return PointKind.COMMIT
    if not _by_itself.get():
        return PointKind.STATEMENT
    reads = re.match(r"\s*(SELECT|WITH)\b(?!.*\b(INSERT|UPDATE|DELETE)\b)", statement, re.DOTALL)
    return PointKind.READ if reads else PointKind.WRITE


def _shortened(statement: str) -> str:
    """A statement as a person would name it: what it does, to which table."""
    if statement == "COMMIT":
        return statement
    words = re.search(r"(INSERT INTO|(?<!FOR )UPDATE|DELETE FROM)\s+(\w+)", statement)
    if words:
        return f"{words[1].split()[0]} {words[2]}"
    table = re.search(r"FROM\s+(\w+)", statement)
    locks = " FOR UPDATE" if "FOR UPDATE" in statement else ""
    return f"SELECT {table[1] if table else '...'}{locks}"
