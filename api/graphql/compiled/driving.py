"""Drives the coroutines of one field together: one for each object of a list, without a task for each.

All of them are begun before any is waited for, so that a dataloader sees one batch. Nearly all wait for one future, a
dataloader's; a task for each would cost more than the rest of the field.

While they run no task is current. Whatever depends on one (asyncio.timeout, a TaskGroup) raises RuntimeError then instead of
cancelling the task of the whole operation: the plan gives up once, and drives that field by tasks from then on.
"""

import asyncio
from asyncio import tasks
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from api.graphql.compiled.guards import Surprise

Driven: TypeAlias = Coroutine[object, None, object]
Waited: TypeAlias = "asyncio.Future[object] | None"


class Drive:
    """How the coroutines of one field of a plan are driven, as it was learned from what they did."""

    __slots__ = ("keeps_task", "needs_task")

    def __init__(self, *, keeps_task: bool) -> None:
        self.needs_task = False
        self.keeps_task = keeps_task


class Batch:
    """The coroutines of one field, driven together."""

    __slots__ = ("_drive", "_ready", "_tasks", "_values", "_waiting")

    def __init__(self, drive: Drive, coroutines: Sequence[Driven]) -> None:
        self._drive = drive
        self._values: list[object] = [None] * len(coroutines)
        self._waiting: list[tuple[int, Driven, Waited]] = []
        self._ready: Iterator[tuple[int, Driven]] = iter(())
        self._tasks: list[asyncio.Task[object]] = []
        if drive.needs_task:
            self._tasks = [asyncio.ensure_future(each) for each in coroutines]
        else:
            self._ready = enumerate(coroutines)

    def advance(self) -> None:
        """Run each coroutine that is ready until it waits or ends. Raises what one of them raises; the rest stay ready."""
        values, waiting = self._values, self._waiting
        loop = asyncio.get_running_loop()
        task = None if self._drive.keeps_task else tasks.current_task(loop)
        if task is not None:
            tasks._leave_task(loop, task)  # noqa: SLF001  documented for those who drive coroutines themselves
        try:
            for index, coroutine in self._ready:
                try:
                    waited = coroutine.send(None)
                except StopIteration as end:
                    values[index] = end.value
                else:
                    waiting.append((index, coroutine, _waited(coroutine, waited)))
        except RuntimeError:
            self._drive.needs_task = True
            raise
        finally:
            if task is not None:
                tasks._enter_task(loop, task)  # noqa: SLF001  as above

    async def wait(self) -> list[object]:
        """What the coroutines return, in their order. Raises what one of them raises."""
        if self._tasks:
            return await _all(self._tasks)
        while self._waiting:
            await self._until_ready()
            self.advance()
        return self._values

    async def _until_ready(self) -> None:
        for _, _, waited in self._waiting:
            if waited is None:
                await asyncio.sleep(0)
            elif not waited.done():
                await _done(waited)
        self._ready = iter([(index, coroutine) for index, coroutine, _ in self._waiting])
        self._waiting = []

    async def settle(self) -> None:
        """Let every coroutine come to its end, whatever it is, so that nothing is torn apart while others go on."""
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        while True:
            try:
                self.advance()
                if not self._waiting:
                    return
                await self._until_ready()
            except (Exception, Surprise):  # noqa: BLE001, S112  graphql-core asks again, and shows what it is told
                continue

    def cancel(self) -> None:
        """Cancel what is waited for, because the operation was cancelled."""
        for task in self._tasks:
            task.cancel()
        for _, coroutine, waited in self._waiting:
            if waited is not None:
                waited.cancel()
            _unwind(coroutine)
        for _, coroutine in self._ready:
            coroutine.close()
        self._waiting = []


class Run:
    """The coroutines that one run of a plan has begun."""

    __slots__ = ("_batches",)

    def __init__(self) -> None:
        self._batches: list[Batch] = []

    def start(self, drive: Drive, coroutines: Sequence[Driven]) -> Batch:
        """Begin a field's coroutines. Raises what one of them raises before it waits."""
        batch = Batch(drive, coroutines)
        self._batches.append(batch)
        batch.advance()
        return batch

    async def settle(self) -> None:
        for batch in self._batches:
            await batch.settle()

    def cancel(self) -> None:
        for batch in self._batches:
            batch.cancel()


async def together(*coroutines: Coroutine[object, None, None]) -> None:
    """Run branches at the same time. Raises the first one's failure, once all have ended."""
    await _all([asyncio.ensure_future(each) for each in coroutines])


async def _all(running: Sequence["asyncio.Task[Any]"]) -> list[object]:  # Any: whatever the tasks return
    found = await asyncio.gather(*running, return_exceptions=True)
    for task in running:
        task.result()
    return found


async def _done(future: "asyncio.Future[object]") -> None:
    """Wait until a future is done, however. Cancelling this does not cancel the future, which may be others' too."""
    turn = asyncio.get_running_loop().create_future()

    def end(_: object) -> None:
        if not turn.done():
            turn.set_result(None)

    future.add_done_callback(end)
    try:
        await turn
    finally:
        future.remove_done_callback(end)


def _waited(coroutine: Driven, waited: object) -> Waited:
    """What a coroutine waits for: a future, or None for the next turn of the event loop."""
    if waited is None:
        return None
    # A future that is awaited says so by this flag, which whoever drives a coroutine takes back.
    if isinstance(waited, asyncio.Future) and waited._asyncio_future_blocking:  # noqa: SLF001
        waited._asyncio_future_blocking = False  # noqa: SLF001
        return waited
    coroutine.close()
    raise Surprise("a coroutine waits for something that is no future of asyncio")


def _unwind(coroutine: Driven) -> None:
    """Cancel a coroutine, and close it where it goes on to wait: nobody is there to drive it further."""
    with suppress(BaseException):
        coroutine.throw(asyncio.CancelledError())
        coroutine.close()
