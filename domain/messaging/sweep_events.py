"""Fetch the events that never came: the processor keeps a list, and what is not in our inbox is put there.

Most are found a minute after they were made. After an outage of ours the list is caught up with from where we left it, an
hour's events at a time, as far back as the processor keeps them.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.messaging.event_source import EventSource
from domain.messaging.webhook_events import WebhookEvent, WorkerBell
from domain.ports import Clock, UnitsOfWork
from domain.sweeps import SweepResult, SweepRun

HISTORY = timedelta(days=29)
"""How far back an outage is caught up with. Stripe lists events for 30 days (docs.stripe.com/api/events)."""

SLICE = timedelta(hours=1)
"""How much of the list one run reads: its end is where the next begins, also after a crash."""

OVERLAP = timedelta(minutes=2)
"""Read again at the beginning of each run: an event may show in the list a little later than it was made."""

RECENT = timedelta(hours=1)
RECENT_MAX = 1000
_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """How many events were listed, and how many of them were missing here."""

    listed: int
    missed: int


class SweepEvents:
    """The sweep that heals events which were never delivered."""

    name = "webhook_events"

    def __init__(
        self, *, units: UnitsOfWork, source: EventSource, clock: Clock, bell: WorkerBell, interval: timedelta
    ) -> None:
        self.interval = interval
        self._units = units
        self._source = source
        self._clock = clock
        self._bell = bell

    async def __call__(self, run: SweepRun) -> SweepResult:
        """Store what is missing of the next slice of the list, and of the last hour.

        Raises OutcomeUnknown, RequestRejected or Unavailable; what was stored by then stays, and the slice is read again.
        """
        now = run.started_at
        # What the processor could not deliver is a short list, so that news need not wait until an outage is caught up with.
        recent = await self._fetch(now - RECENT, None, undelivered=True, limit=RECENT_MAX)
        # But it only counts what it sent to an endpoint: while none is registered, nothing is undelivered.
        begins = max(run.mark or await self._first_payment() or now, now - HISTORY)
        more = now - begins > SLICE
        ends = begins + SLICE if more else now
        # The last slice is open to the end: the processor's clock may be ahead of ours.
        found = await self._fetch(begins - OVERLAP, ends if more else None, undelivered=False)
        counts = {
            "listed": recent.listed + found.listed,
            "missed": recent.missed + found.missed,
            "behind_seconds": int((now - ends).total_seconds()),
        }
        return SweepResult(mark=ends, found=counts, more=more)

    async def _first_payment(self) -> datetime | None:
        """Before the first payment of ours nothing can be about us."""
        async with self._units.autocommit() as uow:
            return await uow.transactions.first_created_at()

    async def _fetch(
        self, since: datetime, until: datetime | None, *, undelivered: bool, limit: int | None = None
    ) -> _Found:
        listed = missed = 0
        async with aclosing(self._source.events(since, until, undelivered=undelivered)) as events:
            async for batch in _batches(events):
                listed += len(batch)
                missed += await self._store_missing(batch)
                if limit is not None and listed >= limit:
                    break
        return _Found(listed=listed, missed=missed)

    async def _store_missing(self, events: list[WebhookEvent]) -> int:
        async with self._units.autocommit() as uow:
            known = await uow.webhook_events.known({event.id for event in events})
            missing = [event for event in events if event.id not in known]
            stored = sum([await uow.webhook_events.store(event, self._clock.now()) for event in missing])
        if stored:
            self._bell.ring()
        return stored


async def _batches(events: AsyncGenerator[WebhookEvent, None]) -> AsyncGenerator[list[WebhookEvent], None]:
    batch: list[WebhookEvent] = []
    async for event in events:
        batch.append(event)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
