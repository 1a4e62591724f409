"""Look-ups that requests share: those that come together, or while one is on its way, are made in one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

PATIENCE_SECONDS: Final = 0.02
"""For so long a look-up waits for the one before it: one that hangs must not hold up all who come after it."""


class JoinedLookups(Generic[K, V]):
    """Finds what belongs to a key. A look-up begins after it was asked for, so that nobody is told what held earlier."""

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._in_flight = 0
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._timer: asyncio.Handle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, key: K) -> V | None:
        """What there is, or None. Raises whatever the look-up raises."""
        loop = asyncio.get_running_loop()
        # Each has a future of its own: a request that is given up takes none of the others with it.
        future: asyncio.Future[V | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._timer is None:
            # Requests whose bytes came together ask in the same turn of the event loop.
            alone = self._in_flight == 0
            self._timer = loop.call_soon(self._begin) if alone else loop.call_later(PATIENCE_SECONDS, self._begin)
        return await future

    def _ended(self) -> None:
        self._in_flight -= 1
        if self._waiting:
            self._begin()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        self._in_flight += 1
        task = asyncio.ensure_future(self._find_all(waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_all(self, waiting: Mapping[K, Sequence["asyncio.Future[V | None]"]]) -> None:
        try:
            found = await self._fetch(tuple(waiting))
        except Exception as error:  # noqa: BLE001  it is raised where the look-up was asked for
            for future in _open(waiting):
                future.set_exception(error)
        else:
            for key, futures in waiting.items():
                for future in futures:
                    if not future.done():
                        future.set_result(found.get(key))
        finally:
            # Nothing is left where the program ends meanwhile.
            for future in _open(waiting):
                future.cancel()
            self._ended()


def _open(waiting: Mapping[K, Sequence["asyncio.Future[V | None]"]]) -> list["asyncio.Future[V | None]"]:
    return [future for futures in waiting.values() for future in futures if not future.done()]
