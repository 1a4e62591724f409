"""The limits that the settings ask for, over counters in this process or in Redis."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from api.throttle import Throttle
from app.settings import Settings
from domain.limits import CostBuckets, Counters, Limit, RateLimits
from gateways.counters.memory import MemoryBuckets, MemoryCounters
from gateways.counters.shared import RedisBuckets, RedisCounters

# A page with a few large lists must not have to wait: twenty seconds' worth may be spent at once.
_BURST_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Limiting:
    """The limits, for acts that have some of their own, and the throttle that every request goes through."""

    limits: RateLimits
    throttle: Throttle
    _closers: Sequence[Callable[[], Awaitable[None]]] = ()

    async def close(self) -> None:
        for close in self._closers:
            await close()


def limiting(settings: Settings) -> Limiting:
    rates = settings.rates()
    capacity = max(rates.cost_per_second * _BURST_SECONDS, settings.query_cost_max)
    counters: Counters
    buckets: CostBuckets
    closers: list[Callable[[], Awaitable[None]]] = []
    if settings.redis_url is None:
        counters, buckets = MemoryCounters(), MemoryBuckets(capacity, rates.cost_per_second)
    else:
        url = settings.redis_url.get_secret_value()
        shared_counters, shared_buckets = RedisCounters(url), RedisBuckets(url, capacity, rates.cost_per_second)
        counters, buckets, closers = shared_counters, shared_buckets, [shared_counters.close, shared_buckets.close]
    limits = RateLimits(counters)
    throttle = Throttle(
        limits=limits,
        buckets=buckets,
        by_address=Limit("address-requests", rates.address_requests),
        by_actor=Limit("requests", rates.requests),
        money_by_actor=Limit("money-mutations", rates.money_mutations),
        operation_cost_max=settings.query_cost_max,
    )
    return Limiting(limits, throttle, closers)
