"""How often somebody may do something: named limits over counters that live in this process or are shared by several.

A limit counts in fixed windows: cheap, one number for each key, and at the most twice its amount across the border of two
windows. Whoever asks decides what the key is (a user, an address, an account) and calls `require` before the work is done.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from domain.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` in `seconds`. The name is shown to clients and tells the limit's counters from all others."""

    name: str
    amount: int
    seconds: int = 60


@dataclass(frozen=True, slots=True)
class Taken:
    """What is left of a limit. `resets_in_seconds` is the time until its window ends."""

    limit: Limit
    remaining: int
    resets_in_seconds: float
    allowed: bool


class Counters(Protocol):
    """Numbers that count up and are forgotten."""

    async def add(self, key: str, amount: int, seconds: int) -> int:
        """The number after `amount` was added. It is forgotten `seconds` after it was first added to."""
        ...


class RateLimits:
    """Takes from limits. `now` is a number of seconds that all processes which share the counters agree on."""

    def __init__(self, counters: Counters, now: Callable[[], float] = time.time) -> None:
        self._counters = counters
        self._now = now

    async def take(self, limit: Limit, key: str, amount: int = 1) -> Taken:
        """Count `amount` under `key`. What goes over the limit is counted too, so that whoever hammers waits to the end."""
        window, passed = divmod(self._now(), limit.seconds)
        used = await self._counters.add(f"{limit.name}/{key}/{int(window)}", amount, limit.seconds)
        return Taken(limit, max(limit.amount - used, 0), limit.seconds - passed, used <= limit.amount)

    async def require(self, limit: Limit, key: str, amount: int = 1) -> Taken:
        """As `take`. Raises RateLimited where the limit is used up."""
        taken = await self.take(limit, key, amount)
        if not taken.allowed:
            raise RateLimited(
                f"More than {limit.amount} in {limit.seconds} s ({limit.name}). Wait before you try again.",
                retry_after_ms=int(taken.resets_in_seconds * 1000) + 1,
            )
        return taken


class CostBuckets(Protocol):
    """Leaky buckets of query cost, one for each key: what is put in leaks out at a constant rate."""

    capacity: int
    leaks_per_second: int

    async def pour(self, key: str, amount: int, *, anyway: bool = False) -> float:
        """Put `amount` in, if the bucket has room for it, or `anyway`.

        The value is what is left of its capacity, below 0 where there was not enough room: by so much, and then nothing
        was put in unless `anyway` says so. A negative amount takes back what was put in too much.
        """
        ...
