"""Events that never came are fetched from the processor's list, and events of long ago are deleted."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from domain.messaging.prune_events import BATCH, BATCHES_MAX, KEPT_DAYS_MIN, PruneEvents
from domain.messaging.sweep_events import HISTORY, OVERLAP, RECENT, RECENT_MAX, SLICE, SweepEvents
from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from domain.payments.gateway import OutcomeUnknown
from domain.payments.transaction import TransactionStatus
from domain.sweeps import SweepResult, SweepRun
from tests.support.acts import Acts, transaction_in
from tests.support.clock import START
from tests.support.database import rows
from tests.support.records import transaction

NOW = START
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Listed:
    """The processor's list. `asked` holds the spans that were asked for, `read` how many events were taken from it."""

    events_: list[WebhookEvent] = field(default_factory=list)
    undelivered: set[str] = field(default_factory=set)
    breaks_after: int | None = None
    asked: list[tuple[datetime, datetime | None, bool]] = field(default_factory=list)
    read: int = 0

    async def events(
        self, since: datetime, until: datetime | None, *, undelivered: bool
    ) -> AsyncGenerator[WebhookEvent, None]:
        self.asked.append((since, until, undelivered))
        for event in sorted(self.events_, key=lambda listed: listed.created_at, reverse=True):
            if event.created_at < since or (until is not None and event.created_at >= until):
                continue
            if undelivered and event.id not in self.undelivered:
                continue
            if self.read == self.breaks_after:
                raise OutcomeUnknown("the list broke off")
            self.read += 1
            yield event

    @property
    def slices(self) -> list[tuple[datetime, datetime | None]]:
        """What was asked for beside the undelivered events of the last hour."""
        return [(since, until) for since, until, undelivered in self.asked if not undelivered]


@dataclass(slots=True)
class Swept:
    """A sweep over a list, and where it stands."""

    acts: Acts
    source: Listed = field(default_factory=Listed)
    rung: int = 0
    mark: datetime | None = NOW - MINUTE

    async def run(self) -> SweepResult:
        sweep = SweepEvents(
            units=self.acts.units, source=self.source, clock=self.acts.clock, bell=self, interval=MINUTE
        )
        result = await sweep(SweepRun(name=sweep.name, runs=1, started_at=NOW, mark=self.mark))
        self.mark = result.mark
        return result

    def ring(self) -> None:
        self.rung += 1

    async def catch_up(self) -> int:
        """Run until nothing is left; how many runs it took."""
        runs = 1
        while (await self.run()).more:
            runs += 1
        return runs

    def make(self, event_id: str, *, ago: timedelta, reference: str | None = None) -> WebhookEvent:
        event = self.acts.event(event_id, EventSubject.CHARGE, reference or f"ch_{event_id}")
        event = replace(event, created_at=NOW - ago)
        self.source.events_.append(event)
        return event


@pytest.fixture
def swept(acts: Acts) -> Swept:
    return Swept(acts)


async def stored(acts: Acts) -> list[str]:
    return [str(event_id) for (event_id,) in await rows(acts.engine, "SELECT id FROM webhook_events ORDER BY id")]


async def pay_long_ago(acts: Acts, ago: timedelta) -> None:
    record = transaction(acts.ids.new(), (await acts.add_user()).id, created_at=NOW - ago)
    async with acts.units.begin() as uow:
        await uow.transactions.add(record)


async def test_an_event_that_never_came_is_stored_and_applied(acts: Acts, swept: Swept) -> None:
    waiting = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired"))
    acts.gateway.authenticate(waiting.processor_reference or "")
    swept.make("evt_missed", ago=MINUTE / 2, reference=waiting.processor_reference)
    result = await swept.run()
    assert (result.mark, result.more) == (NOW, False)
    assert result.found == {"listed": 1, "missed": 1, "behind_seconds": 0}
    assert await acts.apply_events() == [EventState.APPLIED]
    assert (await acts.now(waiting.id)).status is TransactionStatus.COMPLETED


async def test_events_that_came_are_left_as_they_are(acts: Acts, swept: Swept) -> None:
    came = swept.make("evt_1", ago=MINUTE)
    swept.make("evt_2", ago=MINUTE)
    async with acts.units.begin() as uow:
        await uow.webhook_events.store(came, NOW)
    await rows(acts.engine, "UPDATE webhook_events SET state = 'IGNORED', reason = 'told already' RETURNING 1")
    assert (await swept.run()).found["missed"] == 1
    assert (await swept.run()).found["missed"] == 0
    # The workers are woken for what is new.
    assert swept.rung == 1
    found = await rows(acts.engine, "SELECT id, state, reason FROM webhook_events ORDER BY id")
    assert found == [("evt_1", "IGNORED", "told already"), ("evt_2", "RECEIVED", None)]


async def test_two_that_sweep_at_once_store_each_event_once(acts: Acts, swept: Swept) -> None:
    for number in range(30):
        swept.make(f"evt_{number}", ago=MINUTE)
    other = Swept(acts, Listed(swept.source.events_))
    results = await asyncio.gather(swept.run(), other.run())
    assert sum(result.found["missed"] for result in results) == 30
    assert len(await stored(acts)) == 30


async def test_an_event_that_shows_late_in_the_list_is_found_by_the_next_run(acts: Acts, swept: Swept) -> None:
    await swept.run()
    swept.make("evt_late", ago=OVERLAP)
    await swept.run()
    assert await stored(acts) == ["evt_late"]


async def test_an_event_from_a_clock_ahead_of_ours_is_found(acts: Acts, swept: Swept) -> None:
    swept.make("evt_ahead", ago=-timedelta(days=1))
    await swept.run()
    assert await stored(acts) == ["evt_ahead"]


async def test_an_outage_is_caught_up_with_hour_by_hour(acts: Acts, swept: Swept) -> None:
    swept.mark = NOW - timedelta(days=1)
    names = [f"evt_{hour:02}" for hour in range(24)]
    for hour, name in enumerate(names):
        swept.make(name, ago=timedelta(hours=hour, minutes=30))
    first = await swept.run()
    assert first.found["behind_seconds"] == timedelta(hours=23).total_seconds()
    assert await stored(acts) == ["evt_23"]
    assert await swept.catch_up() == 23
    assert await stored(acts) == names
    # Without a gap, each slice begins a little before the end of the one before.
    spans = swept.source.slices
    assert [span[0] for span in spans[1:]] == [until - OVERLAP for _, until in spans[:-1] if until is not None]
    assert spans[-1][1] is None


async def test_while_an_outage_is_caught_up_with_news_does_not_wait(acts: Acts, swept: Swept) -> None:
    swept.mark = NOW - timedelta(days=20)
    swept.make("evt_news", ago=MINUTE)
    swept.source.undelivered = {"evt_news"}
    assert (await swept.run()).more
    assert await stored(acts) == ["evt_news"]


async def test_an_outage_of_more_than_29_days_is_caught_up_with_as_far_as_there_is_a_list(swept: Swept) -> None:
    swept.mark = NOW - timedelta(days=300)
    await swept.run()
    assert swept.source.slices == [(NOW - HISTORY - OVERLAP, NOW - HISTORY + SLICE)]


@pytest.mark.parametrize(
    ("paid_ago", "begins_ago"), [(None, MINUTE * 0), (MINUTE, MINUTE), (timedelta(days=300), HISTORY)]
)
async def test_the_first_run_begins_with_our_first_payment(
    acts: Acts, swept: Swept, paid_ago: timedelta | None, begins_ago: timedelta
) -> None:
    if paid_ago is not None:
        await pay_long_ago(acts, MINUTE / 2)
        await pay_long_ago(acts, paid_ago)
    swept.mark = None
    await swept.run()
    assert [since for since, _ in swept.source.slices] == [NOW - begins_ago - OVERLAP]


async def test_a_list_that_breaks_off_is_read_again_and_what_was_stored_stays(acts: Acts, swept: Swept) -> None:
    for number in range(250):
        swept.make(f"evt_{number:03}", ago=MINUTE)
    swept.source.breaks_after, before = 150, swept.mark
    with pytest.raises(OutcomeUnknown):
        await swept.run()
    assert len(await stored(acts)) == 100
    swept.source.breaks_after = None
    assert swept.mark == before
    assert (await swept.run()).found["missed"] == 150


async def test_a_heap_of_undelivered_events_is_read_to_a_limit(acts: Acts, swept: Swept) -> None:
    # They are another endpoint's, say: ours has them all.
    for number in range(RECENT_MAX + 50):
        swept.source.undelivered.add(swept.make(f"evt_{number:04}", ago=RECENT / 2).id)
    await swept.run()
    assert swept.source.read == RECENT_MAX
    assert len(await stored(acts)) == RECENT_MAX


# Deleting.


async def keep(acts: Acts, event_id: str, state: EventState, *, received: timedelta, settled: timedelta | None) -> None:
    async with acts.units.begin() as uow:
        await uow.webhook_events.store(acts.event(event_id, EventSubject.OTHER, None), NOW - received)
    await rows(
        acts.engine,
        "UPDATE webhook_events SET state = :state, settled_at = :settled WHERE id = :id RETURNING 1",
        id=event_id,
        state=state.value,
        settled=None if settled is None else NOW - settled,
    )


async def prune(acts: Acts, kept: timedelta = timedelta(days=90)) -> SweepResult:
    sweep = PruneEvents(units=acts.units, kept=kept)
    return await sweep(SweepRun(name=sweep.name, runs=1, started_at=NOW, mark=None))


async def test_only_what_was_settled_long_ago_and_needs_nobody_is_deleted(acts: Acts) -> None:
    old, new = timedelta(days=91), timedelta(days=89)
    for state in EventState:
        settled = None if state is EventState.RECEIVED else old
        await keep(acts, f"old_{state}", state, received=old, settled=settled)
    await keep(acts, "new_APPLIED", EventState.APPLIED, received=new, settled=new)
    await keep(acts, "slow_APPLIED", EventState.APPLIED, received=old, settled=new)
    result = await prune(acts)
    assert (result.found, result.more) == ({"pruned": 2}, False)
    assert await stored(acts) == ["new_APPLIED", "old_PARKED", "old_QUARANTINED", "old_RECEIVED", "slow_APPLIED"]


async def test_many_are_deleted_in_bounded_bites(acts: Acts) -> None:
    await rows(
        acts.engine,
        "INSERT INTO webhook_events (id, type, subject, live, body, state, tries, failures, created_at, received_at,"
        " next_try_at, settled_at) SELECT 'evt_' || n, 't', 'OTHER', false, '', 'IGNORED', 1, 0, at, at, at, at"
        " FROM generate_series(1, :number) AS n, (SELECT timestamptz '2020-01-01Z' AS at) AS _ RETURNING 1",
        number=BATCH * BATCHES_MAX + 1,
    )
    first = await prune(acts)
    assert (first.found, first.more) == ({"pruned": BATCH * BATCHES_MAX}, True)
    second = await prune(acts)
    assert (second.found, second.more) == ({"pruned": 1}, False)


async def test_a_row_that_somebody_holds_is_not_waited_for(acts: Acts) -> None:
    old = timedelta(days=91)
    for name in ("held", "free"):
        await keep(acts, name, EventState.IGNORED, received=old, settled=old)
    async with acts.engine.begin() as connection:
        await connection.exec_driver_sql("SELECT 1 FROM webhook_events WHERE id = 'held' FOR UPDATE")
        assert (await prune(acts)).found == {"pruned": 1}
    assert await stored(acts) == ["held"]


def test_what_the_processor_may_still_repeat_cannot_be_deleted(acts: Acts) -> None:
    PruneEvents(units=acts.units, kept=timedelta(days=KEPT_DAYS_MIN))
    with pytest.raises(ValueError, match="31 days"):
        PruneEvents(units=acts.units, kept=timedelta(days=KEPT_DAYS_MIN) - timedelta(seconds=1))
