"""Counters and buckets in Redis, for several processes that allow one amount together.

Limits must never keep a payment from being made: where Redis cannot be reached within half a second, each process
counts for itself until it can.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateways.counters.memory import MemoryBuckets, MemoryCounters

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS: Final = 0.5
# Few, or a burst would open hundreds at once, and the last of them would look like an outage.
_CONNECTIONS_MAX: Final = 16
# After a failure Redis is left alone for so long, or every request would wait for it.
_PAUSE_SECONDS: Final = 2.0
_IMPLEMENTATION: Final = "redispy"

# KEYS[1] is a bucket. ARGV: capacity, leak per second, amount, whether to put it in anyway. The clock is Redis's own, so
# that processes whose clocks differ share one bucket. The value is what is left, as text: Lua's numbers lose their fraction.
_POUR: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local capacity, leak, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.max((tonumber(found[1]) or 0) - (now - (tonumber(found[2]) or now)) * leak, 0)
local left = capacity - level - amount
if left >= 0 or ARGV[4] == '1' then
  level = math.max(level + amount, 0)
  redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', KEYS[1], math.ceil(level / leak) + 1)
end
return tostring(math.min(left, capacity))
"""


@dataclass(slots=True)
class _Outage:
    """Since when Redis does not answer, and until when it is not asked."""

    until: float = field(default=0.0)

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self.until

    def begins(self, error: Exception) -> None:
        self.until = time.monotonic() + _PAUSE_SECONDS
        log.warning("limits.redis_unreachable", error=type(error).__name__)


def _pool(url: str) -> BlockingConnectionPool:
    """Connections that give up at once: whoever asks is a request that waits."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS_MAX,
        timeout=_TIMEOUT_SECONDS,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class RedisCounters:
    """Counters by the `limits` library. `url` is a redis:// or rediss:// address."""

    def __init__(self, url: str) -> None:
        self._pool = _pool(url)
        # The library is typed for the options that it knows itself; it hands this one on to the client.
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._storage = RedisStorage(
            f"async+{url}", implementation=_IMPLEMENTATION, key_prefix="florin-limits", **options
        )
        self._own = MemoryCounters()
        self._outage = _Outage()

    async def add(self, key: str, amount: int, seconds: int) -> int:
        if not self._outage.lasts:
            try:
                return await self._storage.incr(key, seconds, amount)
            except (RedisError, OSError) as error:
                self._outage.begins(error)
        return await self._own.add(key, amount, seconds)

    async def close(self) -> None:
        await self._pool.aclose()


class RedisBuckets:
    """Leaky buckets that several processes share."""

    def __init__(self, url: str, capacity: int, leaks_per_second: int) -> None:
        self.capacity = capacity
        self.leaks_per_second = leaks_per_second
        self._pool = _pool(url)
        self._redis = Redis(connection_pool=self._pool)
        self._pour = self._redis.register_script(_POUR)
        self._own = MemoryBuckets(capacity, leaks_per_second)
        self._outage = _Outage()

    async def pour(self, key: str, amount: int, *, anyway: bool = False) -> float:
        if not self._outage.lasts:
            try:
                left = await self._pour(
                    keys=[f"florin-cost/{key}"], args=[self.capacity, self.leaks_per_second, amount, int(anyway)]
                )
                return float(left)
            except (RedisError, OSError) as error:
                self._outage.begins(error)
        return await self._own.pour(key, amount, anyway=anyway)

    async def close(self) -> None:
        await self._pool.aclose()
