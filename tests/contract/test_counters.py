"""Counters and buckets in the process and in Redis: each passes the same suite, and an outage of Redis stops nobody."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.errors import RateLimited
from domain.limits import CostBuckets, Counters, Limit, RateLimits
from gateways.counters.memory import MemoryBuckets, MemoryCounters
from gateways.counters.shared import RedisBuckets, RedisCounters
from tests.support.captured_logs import captured_logs
from tests.support.redis import RedisServer, redis_server

CAPACITY = 100
# So slow that nothing leaks while a test runs.
NO_LEAK = 1


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    if request.param == "memory":
        yield MemoryCounters()
        return
    async with redis_server() as server:
        shared = RedisCounters(server.url)
        yield shared
        await shared.close()


@pytest.fixture(params=["memory", "redis"])
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[CostBuckets]:
    if request.param == "memory":
        yield MemoryBuckets(CAPACITY, NO_LEAK, now=lambda: 0.0)
        return
    async with redis_server() as server:
        shared = RedisBuckets(server.url, CAPACITY, NO_LEAK)
        yield shared
        await shared.close()


async def test_a_counter_counts_each_key_by_itself(counters: Counters) -> None:
    assert [await counters.add("a", 1, 60), await counters.add("a", 3, 60), await counters.add("b", 1, 60)] == [1, 4, 1]


async def test_no_addition_is_lost_among_many_at_once(counters: Counters) -> None:
    found = await asyncio.gather(*(counters.add("a", 1, 60) for _ in range(40)))
    assert sorted(found) == list(range(1, 41))


async def test_a_limit_allows_its_amount_and_no_more(counters: Counters) -> None:
    limits = RateLimits(counters, now=lambda: 1_000_030.0)
    limit = Limit("requests", amount=3, seconds=60)
    taken = [await limits.require(limit, "ada") for _ in range(3)]
    assert [each.remaining for each in taken] == [2, 1, 0]
    with pytest.raises(RateLimited, match=r"More than 3 in 60 s \(requests\)") as refused:
        await limits.require(limit, "ada")
    # The window that holds second 1,000,030 began at 1,000,020.
    assert refused.value.retry_after_ms == 50_001
    assert (await limits.require(limit, "alan")).remaining == 2
    assert (await limits.require(Limit("sign-ins", amount=1), "ada")).remaining == 0


async def test_a_limit_begins_anew_with_its_next_window() -> None:
    moment = [0.0]
    limits = RateLimits(MemoryCounters(now=lambda: moment[0]), now=lambda: moment[0])
    limit = Limit("requests", amount=1, seconds=60)
    await limits.require(limit, "ada")
    for moment[0] in (1.0, 59.9):
        with pytest.raises(RateLimited):
            await limits.require(limit, "ada")
    moment[0] = 60.0
    assert (await limits.require(limit, "ada")).remaining == 0


async def test_a_bucket_refuses_what_it_has_no_room_for(buckets: CostBuckets) -> None:
    assert await buckets.pour("a", 70) == pytest.approx(30, abs=1)
    assert await buckets.pour("a", 50) == pytest.approx(-20, abs=1)
    # What was refused is not in it.
    assert await buckets.pour("a", 20) == pytest.approx(10, abs=1)
    assert await buckets.pour("b", 100) == pytest.approx(0, abs=1)


async def test_a_bucket_gives_back_and_never_more_than_it_holds(buckets: CostBuckets) -> None:
    await buckets.pour("a", 70)
    assert await buckets.pour("a", -60) == pytest.approx(90, abs=1)
    assert await buckets.pour("a", -500) == CAPACITY
    assert await buckets.pour("a", 0) == CAPACITY


async def test_a_bucket_can_be_overfilled_by_work_that_is_done_already(buckets: CostBuckets) -> None:
    assert await buckets.pour("a", 150, anyway=True) == pytest.approx(-50, abs=1)
    assert await buckets.pour("a", 1) < 0


async def test_a_bucket_is_never_overfilled_by_many_at_once(buckets: CostBuckets) -> None:
    left = await asyncio.gather(*(buckets.pour("a", 10) for _ in range(40)))
    assert sum(each >= 0 for each in left) == 10


async def test_a_bucket_leaks() -> None:
    moment = [0.0]
    buckets = MemoryBuckets(CAPACITY, 10, now=lambda: moment[0])
    await buckets.pour("a", 100)
    moment[0] = 3.0
    assert await buckets.pour("a", 0) == 30
    moment[0] = 1000.0
    assert await buckets.pour("a", 0) == CAPACITY


async def test_memory_forgets_what_is_over_and_never_holds_more_than_its_size() -> None:
    moment = [0.0]
    counters = MemoryCounters(now=lambda: moment[0], keys_max=3)
    buckets = MemoryBuckets(CAPACITY, 1, now=lambda: moment[0], keys_max=3)
    for number in range(10):
        await counters.add(f"k{number}", 1, 60)
        await buckets.pour(f"k{number}", 50)
    assert [list(counts) for counts in counters._counts.values()] == [["k7", "k8", "k9"]]
    assert list(buckets._levels) == ["k7", "k8", "k9"]
    # A flood of short-lived counters pushes none out that lives longer.
    await counters.add("long", 1, 3600)
    for number in range(10):
        await counters.add(f"x{number}", 1, 60)
    assert await counters.add("long", 1, 3600) == 2
    moment[0] = 61.0
    for number in range(3):
        await counters.add(f"y{number}", 1, 60)
    assert list(counters._counts[60]) == ["y0", "y1", "y2"]


async def test_without_redis_each_process_counts_for_itself(redis: RedisServer) -> None:
    counters, buckets = RedisCounters(redis.url), RedisBuckets(redis.url, CAPACITY, NO_LEAK)
    await counters.add("a", 5, 60)
    await buckets.pour("a", 100)
    await redis.stop()
    with captured_logs() as logs:
        assert [await counters.add("a", 1, 60) for _ in range(3)] == [1, 2, 3]
        assert await buckets.pour("a", 60) == pytest.approx(40, abs=1)
        assert await buckets.pour("a", 60) < 0
    # Once for each outage, and without the address, which holds a password.
    assert len(logs.named("limits.redis_unreachable")) == 2
    assert redis.url not in logs.text
    await counters.close()
    await buckets.close()


async def test_processes_share_what_is_in_redis(redis: RedisServer) -> None:
    one, other = RedisCounters(redis.url), RedisCounters(redis.url)
    assert [await one.add("a", 1, 60), await other.add("a", 1, 60)] == [1, 2]
    first, second = (RedisBuckets(redis.url, CAPACITY, NO_LEAK) for _ in range(2))
    await first.pour("a", 90)
    assert await second.pour("a", 20) < 0
    for each in (one, other, first, second):
        await each.close()
