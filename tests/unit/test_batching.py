"""Dataloaders: what one turn of the event loop asks for is fetched together, once, and for nobody who has gone away."""

import asyncio
import gc
import weakref
from collections.abc import Mapping

import pytest

from api.graphql.batching import Loader


class Shop:
    """What is fetched from, and what was fetched."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.open: asyncio.Event | None = None
        self.cancelled = 0

    async def fetch(self, keys: list[int]) -> Mapping[int, int]:
        self.batches.append(keys)
        self.begun.set()
        if self.open is not None:
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if 13 in keys:
            raise ValueError("thirteen")
        return {key: key * 10 for key in keys}


async def test_keys_of_one_turn_are_fetched_together_and_once() -> None:
    shop = Shop()
    loader = Loader(shop.fetch)
    assert await asyncio.gather(*(loader.load(key) for key in (1, 2, 1))) == [10, 20, 10]
    assert [await loader.load(2), await loader.load(3)] == [20, 30]
    assert shop.batches == [[1, 2], [3]]


async def test_a_failure_is_everybodys_who_waited_and_is_kept() -> None:
    shop = Shop()
    loader = Loader(shop.fetch)
    found = await asyncio.gather(loader.load(1), loader.load(13), return_exceptions=True)
    assert [str(each) for each in found] == ["thirteen", "thirteen"]
    with pytest.raises(ValueError, match="thirteen"):
        await loader.load(1)
    assert shop.batches == [[1, 13]]


async def test_a_fetch_that_finds_too_little_fails() -> None:
    async def fetch(_: list[int]) -> Mapping[int, int]:
        return {}

    with pytest.raises(LookupError, match="nothing was found"):
        await Loader(fetch).load(1)


async def test_a_fetch_that_is_cancelled_by_itself_is_told() -> None:
    async def fetch(_: list[int]) -> Mapping[int, int]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Loader(fetch).load(1)


async def test_what_was_loaded_is_gone_with_its_loader() -> None:
    async def fetch(keys: list[int]) -> Mapping[int, Shop]:
        return {key: Shop() for key in keys}

    gc.collect()
    gc.disable()
    try:
        loader = Loader(fetch)
        found = weakref.ref(await loader.load(1))
        await asyncio.sleep(0)
        assert found() is not None
        del loader
        assert found() is None
    finally:
        gc.enable()


async def test_nothing_is_fetched_for_those_who_were_cancelled_before() -> None:
    shop = Shop()
    loader = Loader(shop.fetch)
    asyncio.ensure_future(loader.load(1)).cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shop.batches == []
    # Whoever asks again is not told of it.
    assert await loader.load(1) == 10


async def test_a_fetch_ends_with_the_last_who_waits_for_it() -> None:
    shop = Shop()
    shop.open = asyncio.Event()
    loader = Loader(shop.fetch)
    one, other = (asyncio.ensure_future(loader.load(key)) for key in (1, 2))
    await shop.begun.wait()
    one.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shop.cancelled == 0
    other.cancel()
    await asyncio.gather(one, other, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shop.cancelled == 1


async def test_whoever_goes_away_takes_nothing_from_others_who_wait_for_the_same() -> None:
    shop = Shop()
    shop.open = asyncio.Event()
    loader = Loader(shop.fetch)

    async def wait() -> int:
        return await loader.load(1)

    one, other = asyncio.ensure_future(wait()), asyncio.ensure_future(wait())
    await shop.begun.wait()
    one.cancel()
    shop.open.set()
    assert await other == 10
    assert one.cancelled()
    assert (shop.batches, shop.cancelled) == ([[1]], 0)


async def test_who_asks_again_in_the_same_turn_is_waited_for() -> None:
    shop = Shop()
    shop.open = asyncio.Event()
    loader = Loader(shop.fetch)
    asyncio.ensure_future(loader.load(1)).cancel()
    again = asyncio.ensure_future(loader.load(1))
    await shop.begun.wait()
    shop.open.set()
    assert await again == 10
    assert (shop.batches, shop.cancelled) == ([[1]], 0)


async def test_many_keys_are_one_batch_with_those_of_others() -> None:
    shop = Shop()
    loader = Loader(shop.fetch)
    asked = loader.load_many([1, 2, 1]), loader.load(3), loader.load_many([2, 4])
    found = (await asked[0], await asked[1], await asked[2])
    assert found == ([10, 20, 10], 30, [20, 40])
    assert await loader.load_many([4, 5, 1]) == [40, 50, 10]
    assert await loader.load_many([]) == []
    assert shop.batches == [[1, 2, 3, 4], [5]]


async def test_many_keys_wait_for_every_batch_that_they_are_in() -> None:
    shop = Shop()
    shop.open = asyncio.Event()
    loader = Loader(shop.fetch)
    early = asyncio.ensure_future(loader.load(1))
    await shop.begun.wait()
    both = asyncio.ensure_future(loader.load_many([1, 2]))
    for _ in range(3):
        await asyncio.sleep(0)
    assert shop.batches == [[1], [2]]
    shop.open.set()
    assert (await both, await early) == ([10, 20], 10)


async def test_what_is_given_is_not_fetched() -> None:
    batches: list[list[int | None]] = []

    async def fetch(keys: list[int | None]) -> Mapping[int | None, str | None]:
        batches.append(keys)
        return dict.fromkeys(keys, "found")

    loader: Loader[int | None, str | None] = Loader(fetch, given={None: None})
    assert await loader.load_many([None, 1, None]) == [None, "found", None]
    assert await loader.load_many([None]) == [None]
    assert await loader.load(None) is None
    assert batches == [[1]]


async def test_of_many_keys_one_that_failed_fails_all_and_the_others_are_there() -> None:
    shop = Shop()
    loader = Loader(shop.fetch)
    assert await loader.load_many([1]) == [10]
    for _ in range(2):
        with pytest.raises(ValueError, match="thirteen"):
            await loader.load_many([1, 13])
    assert await loader.load_many([1]) == [10]
    assert shop.batches == [[1], [13]]


async def test_a_fetch_goes_on_for_the_others_who_asked_for_many_keys() -> None:
    shop = Shop()
    shop.open = asyncio.Event()
    loader = Loader(shop.fetch)
    one, other = (asyncio.ensure_future(loader.load_many(keys)) for keys in ([1, 2], [2, 3]))
    await shop.begun.wait()
    one.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert shop.cancelled == 0
    shop.open.set()
    assert await other == [20, 30]
    assert one.cancelled()


async def test_keys_of_a_fetch_that_nobody_waited_for_any_longer_are_fetched_again() -> None:
    shop = Shop()
    shop.open = asyncio.Event()
    loader = Loader(shop.fetch)
    one = asyncio.ensure_future(loader.load_many([1, 2]))
    await shop.begun.wait()
    one.cancel()
    # At once, before the fetch itself has heard of it.
    again = loader.load_many([2, 3])
    shop.open.set()
    assert await again == [20, 30]
    assert (shop.batches, shop.cancelled) == ([[1, 2], [2, 3]], 1)
