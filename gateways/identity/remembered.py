"""Something that is fetched once for all who need it, kept, and fetched anew."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from domain.errors import Unavailable
from gateways.identity.fetching import ProviderSilent

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """In seconds: how long something is good, how long it will do where no newer is to be had, and the pause between fetches."""

    good: float
    usable: float
    pause: float


class Remembered(Generic[T]):
    """A value of a provider's. However many ask at once, it is fetched once, and no sooner than a pause after the last time.

    So nobody can make Florin fetch at each request: neither by keys that do not exist, nor by a provider that fails.
    """

    def __init__(
        self, what: str, fetch: Callable[[], Awaitable[T]], ages: Ages, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._fetch = fetch
        self._ages = ages
        self._now = now
        self._value: T | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """The value. One that is past its best is answered with while the next is fetched. Raises Unavailable."""
        age = self._now() - self._fetched_at
        if self._value is not None and age < self._ages.usable:
            if age >= self._ages.good:
                self._begin()
            return self._value
        return await self._awaited()

    async def newer(self) -> T:
        """The value, fetched anew unless that was done a moment ago. Raises Unavailable where it cannot be."""
        value = await self._awaited()
        if self._tried_at > self._fetched_at:
            raise Unavailable(f"{self._what} cannot be had right now. Try again.")
        return value

    async def close(self) -> None:
        """Give up what is being fetched."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _awaited(self) -> T:
        task = self._begin()
        if task is not None:
            # Whoever stops waiting must not stop the others.
            await asyncio.shield(task)
        if self._value is None or self._now() - self._fetched_at >= self._ages.usable:
            raise Unavailable(f"{self._what} cannot be had right now. Try again.")
        return self._value

    def _begin(self) -> asyncio.Task[None] | None:
        """The fetch under way, begun now if need be; None during the pause after the last."""
        if self._task is not None:
            return self._task
        if self._now() - self._tried_at < self._ages.pause:
            return None
        self._task = asyncio.create_task(self._renew())
        self._task.add_done_callback(self._forget_task)
        return self._task

    def _forget_task(self, _: asyncio.Task[None]) -> None:
        self._task = None

    async def _renew(self) -> None:
        try:
            value = await self._fetch()
        except (ProviderSilent, Unavailable) as error:
            log.warning("identity_provider.silent", what=self._what, reason=str(error))
            self._tried_at = self._now()
        else:
            self._value = value
            self._fetched_at = self._tried_at = self._now()
