"""Units of work that are watched, and that break off where a test says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import Enum

from domain.errors import Unavailable
from persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork
from tests.support.fake_gateway import Call, FakeGateway, _Script

_open_in_this_task: ContextVar[int] = ContextVar("_open_in_this_task", default=0)


class Break(Enum):
    """Where a unit of work breaks off."""

    BEFORE_COMMIT = "nothing of it is kept"
    AFTER_COMMIT = "all of it is kept, but whoever committed never hears of it"


class WatchedUnits:
    """Real units of work that remember whether the running task has one open, and that can be made to break off."""

    def __init__(self, units: SqlUnitsOfWork) -> None:
        self._units = units
        self._breaks: dict[int, Break] = {}

    def break_off(self, how: Break, *, after: int = 0) -> None:
        """Break off one coming unit of work: the next one, or the one after so many others."""
        self._breaks[after] = how

    def heal(self) -> None:
        """Forget the breaks that have not come yet."""
        self._breaks.clear()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnitOfWork]:
        how = self._breaks.pop(0, None)
        self._breaks = {after - 1: later for after, later in self._breaks.items()}
        token = _open_in_this_task.set(_open_in_this_task.get() + 1)
        try:
            async with self._units.begin() as uow:
                yield uow
                if how is Break.BEFORE_COMMIT:
                    raise Unavailable("The connection broke before the commit.")
        finally:
            _open_in_this_task.reset(token)
        if how is Break.AFTER_COMMIT:
            raise Unavailable("The connection broke before the commit was answered.")


class GatewayOutsideUnits(FakeGateway):
    """The fake processor, which refuses to be called by a task that has a unit of work open."""

    async def _arrive(self, call: Call) -> _Script:
        assert _open_in_this_task.get() == 0, f"{call.method} was called inside a unit of work"
        return await super()._arrive(call)
