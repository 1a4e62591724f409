"""Counters and buckets in this process. Their number is bounded, so that nobody can fill the memory with addresses.

Every step costs the same however many keys there are. The memory storage of the `limits` library looks through all its
keys after each step, which 10,000 addresses turn into milliseconds for every request (docs/decisions).
"""

import time
from collections import OrderedDict
from collections.abc import Callable

KEYS_MAX = 100_000


class MemoryCounters:
    """Counters of this process alone: of several processes each allows the whole amount."""

    def __init__(self, now: Callable[[], float] = time.monotonic, keys_max: int = KEYS_MAX) -> None:
        self._now = now
        self._keys_max = keys_max
        # By how long they live, so that in each of them what was begun first ends first, and lies first.
        self._counts: dict[int, OrderedDict[str, tuple[int, float]]] = {}

    async def add(self, key: str, amount: int, seconds: int) -> int:
        counts = self._counts.get(seconds)
        if counts is None:
            counts = self._counts[seconds] = OrderedDict()
        now = self._now()
        count, ends = counts.get(key, (0, now))
        if ends > now:
            counts[key] = (count + amount, ends)
            return count + amount
        counts[key] = (amount, now + seconds)
        counts.move_to_end(key)
        self._drop(counts, now)
        return amount

    def _drop(self, counts: OrderedDict[str, tuple[int, float]], now: float) -> None:
        # Two for each one that comes in, so that the dead are gone faster than new ones arrive.
        for _ in range(2):
            oldest = next(iter(counts))
            if counts[oldest][1] > now and len(counts) <= self._keys_max:
                return
            del counts[oldest]


class MemoryBuckets:
    """Leaky buckets of this process alone."""

    def __init__(
        self,
        capacity: int,
        leaks_per_second: int,
        now: Callable[[], float] = time.monotonic,
        keys_max: int = KEYS_MAX,
    ) -> None:
        self.capacity = capacity
        self.leaks_per_second = leaks_per_second
        self._now = now
        self._keys_max = keys_max
        # Level and when it was so, the least recently used first: that one is the likeliest to be empty.
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def pour(self, key: str, amount: int, *, anyway: bool = False) -> float:
        now = self._now()
        level, at = self._levels.pop(key, (0.0, now))
        level = max(level - (now - at) * self.leaks_per_second, 0.0)
        left = self.capacity - level - amount
        if left >= 0 or anyway:
            level = max(level + amount, 0.0)
        if level > 0:
            self._levels[key] = (level, now)
            if len(self._levels) > self._keys_max:
                self._levels.popitem(last=False)
        return min(left, self.capacity)
