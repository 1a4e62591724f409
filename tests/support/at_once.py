"""Several processes at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from domain.ids import NIL, UserId
from persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork

T = TypeVar("T")


async def at_once(units: SqlUnitsOfWork, times: int, act: Callable[[SqlUnitOfWork], Awaitable[T]]) -> list[T]:
    """Do it so many times, each on a connection of its own, all of them open before the first begins."""
    barrier = asyncio.Barrier(times)

    async def once() -> T:
        async with units.begin() as uow:
            await uow.users.get(UserId(NIL))
            await barrier.wait()
            return await act(uow)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once()) for _ in range(times)]
    return [task.result() for task in tasks]
