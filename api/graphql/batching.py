"""How dataloaders fetch: what the fields of one level ask for in one statement, on few connections for each request."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from domain.payments.queries import Page, PageRequest

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")
T = TypeVar("T")

CONNECTIONS_PER_REQUEST = 3
"""Batches of one request run at the same time, each on a connection of its own; one request may not drain the pool."""


class _Batch(Generic[K]):
    """Keys that are fetched together. It is fetched for nobody once all who asked for it were cancelled."""

    __slots__ = ("asking", "begun", "cancelled", "done", "error", "fetching", "keys", "waiting")

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self.waiting: list[_Asked[Any]] = []  # Any: one value, or a list of them
        self.asking = 0
        self.begun = self.done = self.cancelled = False
        self.fetching: asyncio.Task[None] | None = None
        self.error: Exception | None = None

    def one_cancelled(self) -> None:
        self.asking -= 1
        if self.begun and not self.asking and self.fetching is not None:
            # Whoever asks from now on is not told of it: the keys are fetched again.
            self.cancelled = True
            self.fetching.cancel()

    def end(self) -> None:
        """Tell all who wait."""
        self.done, self.fetching = True, None
        for asked in self.waiting:
            asked.one_done(self)
        self.waiting.clear()


class _Asked(asyncio.Future[T]):
    """What one field waits for: one batch or, where others asked for some of its keys before, several.

    It is nobody else's. A field that fails, whose neighbours are cancelled, would cancel what others wait for otherwise, and with
    it the operation.
    """

    def __init__(self, batches: Collection[_Batch[K]], take: Callable[[], T]) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._batches = batches
        self._left = len(batches)
        self._take = take
        for batch in batches:
            batch.waiting.append(self)
            batch.asking += 1
        if not batches:
            self._end()

    def one_done(self, batch: _Batch[K]) -> None:
        self._left -= 1
        if self.done():
            return
        if batch.cancelled:
            self.cancel()
        elif not self._left:
            self._end()

    def _end(self) -> None:
        try:
            self.set_result(self._take())
        except Exception as error:  # noqa: BLE001  it is for whoever asked
            self.set_exception(error)

    def cancel(self, msg: object = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            for batch in self._batches:
                batch.one_cancelled()
        return cancelled


class Loader(Generic[K, R]):
    """A dataloader: fetches the keys that are asked for in one turn of the event loop together, and each of them once.

    Who asks for many keys waits for one future, so that a page takes little longer than an object. What was found or failed is
    kept for as long as the loader.
    """

    __slots__ = ("_asked", "_fetch", "_found", "_given", "_next")

    def __init__(
        self, fetch: Callable[[list[K]], Awaitable[Mapping[K, R]]], given: Mapping[K, R] | None = None
    ) -> None:
        """`fetch` finds something for every key. `given` is what is known without it, such as nothing for None."""
        self._fetch = fetch
        self._given = given or {}
        self._found: dict[K, R] = {**self._given}
        self._asked: dict[K, _Batch[K]] = {}
        self._next: _Batch[K] | None = None

    def load(self, key: K) -> Awaitable[R]:
        """What is found for a key. Awaiting it raises what fetching it raised."""
        return _Asked(self._batches_of((key,)), lambda: self._value(key))

    def load_many(self, keys: Sequence[K]) -> Awaitable[list[R]]:
        """What is found for each of these keys. Awaiting it raises what fetching the first that failed raised."""
        return _Asked(self._batches_of(keys), lambda: self._values(keys))

    def _value(self, key: K) -> R:
        found = self._found
        if key in found:
            return found[key]
        raise self._asked[key].error or KeyError(key)

    def _values(self, keys: Sequence[K]) -> list[R]:
        found = self._found
        try:
            return [found[key] for key in keys]
        except KeyError:
            return [self._value(key) for key in keys]

    def _batches_of(self, keys: Sequence[K]) -> Collection[_Batch[K]]:
        """The batches that these keys are in, without those that have been fetched."""
        # Hashing a key costs more than anything else here, and a dict that is made of a dict takes its hashes over.
        wanted = dict.fromkeys(keys)
        for key in self._given:
            wanted.pop(key, None)
        asked = self._asked
        batches: set[_Batch[K]] = set()
        if asked:
            for key in [*wanted]:
                known = asked.get(key)
                if known is not None and not known.cancelled:
                    del wanted[key]
                    if not known.done:
                        batches.add(known)
        if wanted:
            batch = self._batch_to_come()
            batch.keys.update(wanted)
            asked.update(dict.fromkeys(wanted, batch))
            batches.add(batch)
        return batches

    def _batch_to_come(self) -> _Batch[K]:
        batch = self._next
        if batch is None:
            batch = self._next = _Batch()
            # It begins in the next turn.
            batch.fetching = asyncio.get_running_loop().create_task(self._fetched(batch))
        return batch

    async def _fetched(self, batch: _Batch[K]) -> None:
        self._next = None
        batch.begun = True
        try:
            if not batch.asking:
                batch.cancelled = True
                return
            found = await self._fetch([*batch.keys])
            self._found.update(found)
            if len(found) < len(batch.keys):
                batch.error = LookupError("nothing was found for some keys")
        except Exception as error:  # noqa: BLE001  it is for whoever asked
            batch.error = error
        except asyncio.CancelledError:
            batch.cancelled = True
            raise
        finally:
            batch.end()


Lookup: TypeAlias = Loader[K | None, V | None]
"""Finds something or nothing for each key, and nothing for None."""


class Batches:
    """Makes loaders that share one request's connections."""

    def __init__(self, connections: asyncio.Semaphore) -> None:
        self._connections = connections

    def one(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, V]]]) -> Lookup[K, V]:
        connections = self._connections

        async def load(keys: list[K | None]) -> Mapping[K | None, V | None]:
            wanted = [key for key in keys if key is not None]
            async with connections:
                found = await fetch(wanted)
            return {key: found.get(key) for key in wanted}

        return Loader(load, given={None: None})

    def count(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, int]]]) -> Loader[K, int]:
        """Finds a number for each key, which is none for those that are not found."""
        connections = self._connections

        async def load(keys: list[K]) -> Mapping[K, int]:
            async with connections:
                found = await fetch(keys)
            return {**dict.fromkeys(keys, 0), **found}

        return Loader(load)

    def pages(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, Page[V]]]]) -> Loader[K, Page[V]]:
        """Finds a page for every key."""
        connections = self._connections

        async def load(keys: list[K]) -> Mapping[K, Page[V]]:
            async with connections:
                return await fetch(keys)

        return Loader(load)


def shown(records: Sequence[R | None], make: Callable[[R], T]) -> list[T | None]:
    """What GraphQL shows of each record; one object for one that is there several times, so that it is completed once."""
    distinct = {id(record): record for record in records}
    made = {key: None if record is None else make(record) for key, record in distinct.items()}
    return [made[id(record)] for record in records]


def for_page(
    loaders: dict[PageRequest, Loader[K, Page[V]]], page: PageRequest, make: Callable[[], Loader[K, Page[V]]]
) -> Loader[K, Page[V]]:
    loader = loaders.get(page)
    if loader is None:
        loader = loaders[page] = make()
    return loader
