"""The worker's loop, over work that a test hands out."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from domain.errors import Unavailable
from domain.ids import TransactionId
from domain.messaging.apply_webhooks import ApplyWebhooks
from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from domain.payments.attempt import Attempt
from domain.payments.recovery import Recovery
from tests.support.clock import START, SequentialIds
from tests.support.records import attempt
from worker.runner import Worker, WorkerConfig

EVENT = WebhookEvent(
    id="evt_1",
    type="charge.updated",
    subject=EventSubject.CHARGE,
    reference="ch_1",
    live=False,
    created_at=START,
    body=b"{}",
)
NEVER = 3600.0


class Bell:
    """Wakes the worker when a test rings; `waited_for` tells that the worker has nothing to do."""

    def __init__(self) -> None:
        self.waited_for = asyncio.Event()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self.waited_for.clear()
        self._rung.set()

    async def wait(self) -> None:
        self.waited_for.set()
        await self._rung.wait()
        self._rung.clear()


class Events(ApplyWebhooks):
    """Events that a test hands out."""

    def __init__(self, act: Callable[[WebhookEvent], None] = lambda _: None) -> None:
        self.waiting: list[WebhookEvent] = []
        self.applied: list[str] = []
        self.limits: list[int] = []
        self.away = False
        self._act = act

    async def claim(self, limit: int) -> list[WebhookEvent]:
        if self.away:
            raise Unavailable
        self.limits.append(limit)
        claimed, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return claimed

    async def apply(self, event: WebhookEvent) -> EventState:
        self._act(event)
        self.applied.append(event.id)
        return EventState.APPLIED


class Attempts(Recovery):
    """Attempts that a test hands out."""

    def __init__(self, hold: asyncio.Event | None = None) -> None:
        self.waiting: list[Attempt] = []
        self.begun = asyncio.Event()
        self.resumed: list[Attempt] = []
        self._hold = hold

    async def claim(self, limit: int) -> list[Attempt]:
        claimed, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return claimed

    async def resume(self, attempt: Attempt) -> None:
        self.begun.set()
        if self._hold is not None:
            await self._hold.wait()
        self.resumed.append(attempt)


def worker(events: Events, attempts: Attempts, bell: Bell, *, poll_seconds: float = NEVER) -> Worker:
    config = WorkerConfig(concurrency=2, poll_seconds=poll_seconds)
    return Worker(webhooks=events, recovery=attempts, wakeups=bell, config=config)


def some_events(number: int) -> list[WebhookEvent]:
    return [replace(EVENT, id=f"evt_{count}") for count in range(number)]


def an_attempt() -> Attempt:
    return attempt(SequentialIds().new(), TransactionId(UUID(int=1)))


async def test_work_is_taken_up_in_bounded_bites_until_none_is_left() -> None:
    events, attempts, bell = Events(), Attempts(), Bell()
    events.waiting, attempts.waiting = some_events(5), [an_attempt()]
    running = worker(events, attempts, bell)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await bell.waited_for.wait()
        assert sorted(events.applied) == [f"evt_{count}" for count in range(5)]
        assert len(attempts.resumed) == 1
        assert set(events.limits) == {2}
        running.stop()
        await task


async def test_a_wake_up_brings_it_to_work_at_once() -> None:
    events, bell = Events(), Bell()
    running = worker(events, Attempts(), bell)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await bell.waited_for.wait()
        events.waiting = some_events(1)
        bell.ring()
        await bell.waited_for.wait()
        assert events.applied == ["evt_0"]
        running.stop()
        await task


async def test_it_looks_again_when_nobody_wakes_it() -> None:
    events, bell = Events(), Bell()
    running = worker(events, Attempts(), bell, poll_seconds=0.001)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await bell.waited_for.wait()
        events.waiting = some_events(1)
        while not events.applied:
            bell.waited_for.clear()
            await bell.waited_for.wait()
        running.stop()
        await task


async def test_what_has_begun_is_finished_before_it_stops() -> None:
    hold, bell = asyncio.Event(), Bell()
    attempts = Attempts(hold)
    attempts.waiting = [an_attempt()]
    running = worker(Events(), attempts, bell)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await attempts.begun.wait()
        running.stop()
        await asyncio.sleep(0)
        assert not task.done()
        hold.set()
        await task
    assert len(attempts.resumed) == 1


async def test_one_that_fails_does_not_keep_the_others() -> None:
    def fail_the_first(event: WebhookEvent) -> None:
        if event.id == "evt_0":
            raise RuntimeError("a bug")

    events, attempts = Events(fail_the_first), Attempts()
    events.waiting, attempts.waiting = some_events(2), [an_attempt()]
    assert await worker(events, attempts, Bell()).work_once()
    assert (events.applied, len(attempts.resumed)) == (["evt_1"], 1)


async def test_a_database_that_is_away_is_waited_for() -> None:
    events, bell = Events(), Bell()
    events.away, events.waiting = True, some_events(1)
    running = worker(events, Attempts(), bell)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await bell.waited_for.wait()
        events.away = False
        bell.ring()
        await bell.waited_for.wait()
        assert events.applied == ["evt_0"]
        running.stop()
        await task


async def test_a_full_bite_suggests_more() -> None:
    events, attempts = Events(), Attempts()
    running = worker(events, attempts, Bell())
    assert not await running.work_once()
    events.waiting = some_events(1)
    assert not await running.work_once()
    attempts.waiting = [an_attempt(), an_attempt()]
    assert await running.work_once()
