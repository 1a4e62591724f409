"""The worker's lanes, over work that a test hands out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain.errors import Unavailable
from domain.ids import TransactionId
from domain.messaging.apply_webhooks import Applied, ApplyWebhooks
from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from domain.payments.attempt import Attempt
from domain.payments.recovery import Recovery
from domain.sweeps import SweepRun
from tests.support.captured_logs import captured_logs
from tests.support.clock import START, SequentialIds
from tests.support.records import attempt
from tests.support.waiting import until
from worker.runner import Worker, WorkerConfig
from worker.sweeps import Sweeper

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
PLACES = 2


class Bell:
    """Wakes the worker when a test rings."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()
        self._rung.clear()


class Events(ApplyWebhooks):
    """Events that a test hands out."""

    def __init__(self, act: Callable[[WebhookEvent], None] = lambda _: None) -> None:
        self.waiting: list[WebhookEvent] = []
        self.applied: list[str] = []
        self.limits: list[int] = []
        self.error: Exception | None = None
        self.ends = Applied(EventState.APPLIED)
        self._act = act

    async def claim(self, limit: int) -> list[list[WebhookEvent]]:
        self.limits.append(limit)
        if self.error is not None:
            raise self.error
        claimed, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return [[event] for event in claimed]

    async def apply(self, events: Sequence[WebhookEvent]) -> Applied:
        for event in events:
            self._act(event)
            self.applied.append(event.id)
        return self.ends


class Attempts(Recovery):
    """Attempts that a test hands out; those that are `slow` wait until it lets them go."""

    def __init__(self, slow: Sequence[Attempt] = ()) -> None:
        self.waiting: list[Attempt] = []
        self.begun: list[Attempt] = []
        self.resumed: list[Attempt] = []
        self.most_at_once = 0
        self.let_go = asyncio.Event()
        self._slow = slow

    async def claim(self, limit: int) -> list[Attempt]:
        claimed, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return claimed

    async def resume(self, attempt: Attempt) -> None:
        self.begun.append(attempt)
        self.most_at_once = max(self.most_at_once, len(self.begun) - len(self.resumed))
        if attempt in self._slow:
            await self.let_go.wait()
        self.resumed.append(attempt)


class Sweeps(Sweeper):
    """Sweeps that a test hands out."""

    def __init__(self) -> None:
        self.waiting: list[SweepRun] = []
        self.ran: list[str] = []

    async def claim(self, limit: int) -> list[SweepRun]:
        claimed, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return claimed

    async def run(self, run: SweepRun) -> None:
        self.ran.append(run.name)


def worker_over(
    events: Events, attempts: Attempts, bell: Bell, *, sweeps: Sweeps | None = None, poll_seconds: float = NEVER
) -> Worker:
    config = WorkerConfig(concurrency=PLACES, poll_seconds=poll_seconds, sweep_poll_seconds=poll_seconds)
    return Worker(webhooks=events, recovery=attempts, sweeper=sweeps or Sweeps(), wakeups=bell, config=config)


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """Let it run for as long as the block does, which is stopped in the end."""
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        yield task
        worker.stop()
        await task


async def holds(condition: Callable[[], object]) -> None:
    async def asked() -> object:
        return condition()

    await until(asked)


def some_events(number: int) -> list[WebhookEvent]:
    return [replace(EVENT, id=f"evt_{count}") for count in range(number)]


def some_attempts(number: int) -> list[Attempt]:
    ids = SequentialIds()
    return [attempt(ids.new(), TransactionId(UUID(int=1))) for _ in range(number)]


async def test_work_is_taken_up_in_bounded_bites_until_none_is_left() -> None:
    events, attempts, sweeps = Events(), Attempts(), Sweeps()
    events.waiting, attempts.waiting = some_events(5), some_attempts(1)
    sweeps.waiting = [SweepRun(name=name, runs=1, started_at=START, mark=None) for name in ("one", "other")]
    async with working(worker_over(events, attempts, Bell(), sweeps=sweeps)):
        await holds(lambda: len(events.applied) == 5 and attempts.resumed and len(sweeps.ran) == 2)
        assert sorted(events.applied) == [f"evt_{count}" for count in range(5)]
        assert max(events.limits) == PLACES


async def test_one_slow_call_delays_nothing_else() -> None:
    all_of_them = some_attempts(7)
    events, attempts = Events(), Attempts(slow=all_of_them[:1])
    attempts.waiting, events.waiting = list(all_of_them), some_events(5)
    async with working(worker_over(events, attempts, Bell())):
        await holds(lambda: attempts.resumed == all_of_them[1:] and len(events.applied) == 5)
        assert attempts.begun[0] == all_of_them[0]
        assert attempts.most_at_once == PLACES
        attempts.let_go.set()
    assert attempts.resumed == [*all_of_them[1:], all_of_them[0]]


async def test_attempts_that_all_hang_leave_the_events_their_places() -> None:
    all_of_them = some_attempts(5)
    events, attempts, bell = Events(), Attempts(slow=all_of_them), Bell()
    attempts.waiting = list(all_of_them)
    async with working(worker_over(events, attempts, bell)):
        await holds(lambda: len(attempts.begun) == PLACES)
        events.waiting = some_events(5)
        bell.ring()
        await holds(lambda: len(events.applied) == 5)
        assert len(attempts.begun) == PLACES
        attempts.let_go.set()
        await holds(lambda: len(attempts.resumed) == 5)


async def test_a_wake_up_brings_it_to_work_at_once() -> None:
    events, bell = Events(), Bell()
    async with working(worker_over(events, Attempts(), bell)):
        await holds(lambda: events.limits)
        events.waiting = some_events(1)
        bell.ring()
        await holds(lambda: events.applied == ["evt_0"])


async def test_it_looks_again_when_nobody_wakes_it() -> None:
    events = Events()
    async with working(worker_over(events, Attempts(), Bell(), poll_seconds=0.001)):
        await holds(lambda: events.limits)
        events.waiting = some_events(1)
        await holds(lambda: events.applied)


async def test_what_has_begun_is_finished_before_it_stops_and_nothing_more_is_begun() -> None:
    all_of_them = some_attempts(5)
    attempts = Attempts(slow=all_of_them)
    attempts.waiting = list(all_of_them)
    running = worker_over(Events(), attempts, Bell())
    async with working(running) as task:
        await holds(lambda: len(attempts.begun) == PLACES)
        running.stop()
        await asyncio.sleep(0)
        assert not task.done()
        attempts.let_go.set()
        await task
    assert attempts.resumed == all_of_them[:PLACES]
    assert attempts.waiting == all_of_them[PLACES:]


async def test_one_that_fails_does_not_keep_the_others() -> None:
    def fail_the_first(event: WebhookEvent) -> None:
        if event.id == "evt_0":
            raise RuntimeError("a bug")

    events, attempts = Events(fail_the_first), Attempts()
    events.waiting, attempts.waiting = some_events(2), some_attempts(1)
    assert await worker_over(events, attempts, Bell()).work_once()
    assert (events.applied, len(attempts.resumed)) == (["evt_1"], 1)


@pytest.mark.parametrize(
    ("ends", "line", "level"),
    [
        (Applied(EventState.APPLIED), "webhook.applied", "info"),
        (Applied(EventState.QUARANTINED, "wrong amount"), "webhook.quarantined", "warning"),
        (Applied(EventState.PARKED, "RuntimeError", RuntimeError("a mistake")), "webhook.parked", "error"),
    ],
)
async def test_what_needs_a_person_says_so_in_the_log(ends: Applied, line: str, level: str) -> None:
    events = Events()
    events.waiting, events.ends = some_events(1), ends
    with captured_logs() as logs:
        await worker_over(events, Attempts(), Bell()).work_once()
    (logged,) = logs.named(line)
    assert (logged["level"], logged["event_ids"], logged.get("reason")) == (level, ["evt_0"], ends.reason)
    assert ["a mistake" in told["exception"] for told in logs.named("webhook.failed")] == [True] * bool(ends.error)


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("a bug in the claim")])
async def test_a_claim_that_fails_is_made_again(error: Exception) -> None:
    events, bell = Events(), Bell()
    events.error, events.waiting = error, some_events(1)
    async with working(worker_over(events, Attempts(), bell)):
        await holds(lambda: events.limits)
        events.error = None
        bell.ring()
        await holds(lambda: events.applied == ["evt_0"])


async def test_a_full_bite_suggests_more() -> None:
    events, attempts = Events(), Attempts()
    running = worker_over(events, attempts, Bell())
    assert not await running.work_once()
    events.waiting = some_events(1)
    assert not await running.work_once()
    attempts.waiting = some_attempts(2)
    assert await running.work_once()


def test_the_worker_looks_each_second_for_what_a_crash_left() -> None:
    assert timedelta(seconds=WorkerConfig().poll_seconds) <= timedelta(seconds=1)
