"""How dataloaders fetch: what the fields of one level ask for in one statement, on few connections for each request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from strawberry.dataloader import DataLoader

from domain.payments.queries import Page, PageRequest

K = TypeVar("K")
V = TypeVar("V")

CONNECTIONS_PER_REQUEST = 3
"""Batches of one request run at the same time, each on a connection of its own; one request may not drain the pool."""


class Batches:
    """Makes loaders that share one request's connections."""

    def __init__(self, connections: asyncio.Semaphore) -> None:
        self._connections = connections

    def one(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, V]]]) -> DataLoader[K, V | None]:
        async def load(keys: list[K]) -> list[V | None]:
            async with self._connections:
                found = await fetch(keys)
            return [found.get(key) for key in keys]

        return DataLoader(load_fn=load)

    def count(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, int]]]) -> DataLoader[K, int]:
        async def load(keys: list[K]) -> list[int]:
            async with self._connections:
                found = await fetch(keys)
            return [found.get(key, 0) for key in keys]

        return DataLoader(load_fn=load)

    def pages(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, Page[V]]]]) -> DataLoader[K, Page[V]]:
        async def load(keys: list[K]) -> list[Page[V]]:
            async with self._connections:
                found = await fetch(keys)
            return [found[key] for key in keys]

        return DataLoader(load_fn=load)


def for_page(
    loaders: dict[PageRequest, DataLoader[K, Page[V]]],
    page: PageRequest,
    make: Callable[[], DataLoader[K, Page[V]]],
) -> DataLoader[K, Page[V]]:
    loader = loaders.get(page)
    if loader is None:
        loader = loaders[page] = make()
    return loader
