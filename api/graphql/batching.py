"""How dataloaders fetch: what the fields of one level ask for in one statement, on few connections for each request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from domain.payments.queries import Page, PageRequest

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")

CONNECTIONS_PER_REQUEST = 3
"""Batches of one request run at the same time, each on a connection of its own; one request may not drain the pool."""


class _Batch(Generic[K, R]):
    """Keys that are fetched together. It is fetched for nobody once all who asked for it were cancelled."""

    __slots__ = ("begun", "cancelled", "fetching", "wanted")

    def __init__(self) -> None:
        self.wanted: dict[K, _Wanted[K, R]] = {}
        self.cancelled = 0
        self.begun = False
        self.fetching: asyncio.Task[None] | None = None

    def one_cancelled(self) -> None:
        self.cancelled += 1
        if self.begun and self.fetching is not None and self.is_cancelled:
            self.fetching.cancel()

    @property
    def is_cancelled(self) -> bool:
        # One that was cancelled may be asked for again, so that counting alone does not tell.
        return self.cancelled >= len(self.wanted) and all(each.cancelled() for each in self.wanted.values())


class _Wanted(asyncio.Future[R], Generic[K, R]):
    """What will be found for one key, for all who asked for it: it is cancelled with the last of them.

    Otherwise a field that fails, whose neighbours are cancelled, would cancel what others wait for, and with it the operation.
    """

    def __init__(self, batch: _Batch[K, R], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._batch = batch
        self.asked = 1

    def cancel(self, msg: object = None) -> bool:
        self.asked -= 1
        cancelled = self.asked <= 0 and super().cancel(msg)
        if cancelled:
            self._batch.one_cancelled()
        return cancelled


class Loader(Generic[K, R]):
    """A dataloader: fetches the keys that are asked for in one turn of the event loop together, and each of them once.

    It takes as long over a key as the rest of the field, so that it does no more than this API needs: what was found or failed is
    kept for as long as the loader.
    """

    __slots__ = ("_fetch", "_known", "_next")

    def __init__(self, fetch: Callable[[list[K]], Awaitable[Sequence[R]]]) -> None:
        self._fetch = fetch
        self._known: dict[K, _Wanted[K, R]] = {}
        self._next: _Batch[K, R] | None = None

    def load(self, key: K) -> Awaitable[R]:
        """What is found for a key. Awaiting it raises what fetching it raised."""
        known = self._known.get(key)
        if known is not None and not known.cancelled():
            known.asked += 1
            return known
        loop = asyncio.get_running_loop()
        batch = self._next
        if batch is None:
            batch = self._next = _Batch()
            # It begins in the next turn.
            batch.fetching = loop.create_task(self._fetched(batch))
        wanted = self._known[key] = batch.wanted[key] = _Wanted(batch, loop)
        return wanted

    async def _fetched(self, batch: _Batch[K, R]) -> None:
        self._next = None
        batch.begun = True
        wanted = batch.wanted
        try:
            if batch.is_cancelled:
                return
            found = await self._fetch([*wanted])
            for future, value in zip(wanted.values(), found, strict=True):
                if not future.done():
                    future.set_result(value)
        except Exception as error:  # noqa: BLE001  it is for whoever asked
            for future in wanted.values():
                if not future.done():
                    future.set_exception(error)
        finally:
            batch.fetching = None
            for future in wanted.values():
                # Only where the fetch itself was cancelled is one left.
                asyncio.Future.cancel(future)
            # They hold their batch: without this they would wait for the garbage collector, and a request's records with them.
            wanted.clear()


class Batches:
    """Makes loaders that share one request's connections."""

    def __init__(self, connections: asyncio.Semaphore) -> None:
        self._connections = connections

    def one(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, V]]]) -> Loader[K, V | None]:
        connections = self._connections

        async def load(keys: list[K]) -> list[V | None]:
            async with connections:
                found = await fetch(keys)
            return [found.get(key) for key in keys]

        return Loader(load)

    def count(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, int]]]) -> Loader[K, int]:
        connections = self._connections

        async def load(keys: list[K]) -> list[int]:
            async with connections:
                found = await fetch(keys)
            return [found.get(key, 0) for key in keys]

        return Loader(load)

    def pages(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, Page[V]]]]) -> Loader[K, Page[V]]:
        connections = self._connections

        async def load(keys: list[K]) -> list[Page[V]]:
            async with connections:
                found = await fetch(keys)
            return [found[key] for key in keys]

        return Loader(load)


def for_page(
    loaders: dict[PageRequest, Loader[K, Page[V]]], page: PageRequest, make: Callable[[], Loader[K, Page[V]]]
) -> Loader[K, Page[V]]:
    loader = loaders.get(page)
    if loader is None:
        loader = loaders[page] = make()
    return loader
