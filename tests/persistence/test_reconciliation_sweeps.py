"""What the worker reconciles by itself: the last minutes, and once a day the last weeks, in short runs that keep their place."""

from datetime import datetime, timedelta

import pytest

from domain.access import Actor
from domain.currencies import Currency
from domain.money import Money
from domain.payments.transaction import Transaction
from domain.reconciliation.discrepancies import SETTLING_TIME
from domain.reconciliation.sweeps import LOOK_AGAIN_AFTER, OVERLAP, REACH, ReconcileAll, ReconcileRecent
from domain.sweeps import Sweep, SweepResult, SweepRun
from tests.support.reconciliation import Books

A_MINUTE = timedelta(minutes=1)


@pytest.fixture
async def ada(books: Books) -> Actor:
    return await books.acts.add_actor()


@pytest.fixture
def recent(books: Books) -> ReconcileRecent:
    acts = books.acts
    return ReconcileRecent(reconcile=books.reconcile, units=acts.units, clock=acts.clock, alerts=acts.alerts)


async def run(books: Books, sweep: Sweep, mark: datetime | None) -> SweepResult:
    return await sweep(SweepRun(name=sweep.name, runs=1, started_at=books.acts.clock.now(), mark=mark))


def charge_another_fee(books: Books, paid: Transaction) -> None:
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, fee=Money(77, Currency.USD))


def lose(books: Books, paid: Transaction) -> None:
    assert paid.processor_reference is not None
    books.acts.gateway.forget(paid.processor_reference)


async def test_drift_is_found_within_five_minutes(books: Books, ada: Actor, recent: ReconcileRecent) -> None:
    mark = (await run(books, recent, None)).mark
    charge_another_fee(books, await books.paid(ada))
    passed, found = timedelta(0), 0
    while not found:
        books.acts.clock.advance(recent.interval)
        passed += recent.interval
        result = await run(books, recent, mark)
        mark, found = result.mark, result.found["found"]
    assert passed <= timedelta(minutes=5)
    assert await books.stored() == [("FEE_DIFFERS", "CURED")]
    assert books.acts.alerts.waiting == []


async def test_a_run_begins_a_little_before_the_end_of_the_last(
    books: Books, ada: Actor, recent: ReconcileRecent
) -> None:
    books.acts.clock.advance(timedelta(microseconds=7))
    result = await run(books, recent, None)
    end = books.acts.clock.now().replace(microsecond=0) - SETTLING_TIME
    assert (result.mark, result.more) == (end - OVERLAP, False)


async def test_a_worker_that_was_away_catches_up_piece_by_piece(
    books: Books, ada: Actor, recent: ReconcileRecent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.reconciliation.sweeps.OBJECTS_ENOUGH", 4)
    mark: datetime | None = books.acts.clock.now()
    for number in range(12):
        changed = await books.paid(ada, f"fee {number}")
        await books.paid(ada, f"kept {number}")
        charge_another_fee(books, changed)
        books.acts.clock.advance(timedelta(hours=2))
    pieces = 0
    more = True
    while more:
        before = mark
        result = await run(books, recent, mark)
        mark, more = result.mark, result.more
        assert mark is not None
        assert before is not None
        pieces += 1
        assert mark > before
    assert pieces > 3
    assert len(await books.stored()) == 12


async def test_what_waits_for_a_person_raises_an_alert_every_time(
    books: Books, ada: Actor, recent: ReconcileRecent
) -> None:
    lose(books, await books.paid(ada))
    books.settle()
    first_seen_at = books.acts.clock.now()
    mark = (await run(books, recent, None)).mark
    books.acts.clock.advance(A_MINUTE)
    result = await run(books, recent, mark)
    assert result.found["open"] == 1
    assert [(waiting.number, waiting.oldest_first_seen_at) for waiting in books.acts.alerts.waiting] == [
        (1, first_seen_at)
    ] * 2


async def test_what_is_open_is_looked_at_again_whatever_its_age(
    books: Books, ada: Actor, recent: ReconcileRecent
) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, captured=990)
    await books.run()
    books.acts.gateway.falsify(paid.processor_reference, captured=1000)
    books.acts.clock.advance(timedelta(days=3))
    await run(books, recent, books.acts.clock.now())
    assert await books.stored() == [("AMOUNT_DIFFERS", "NO_LONGER_SEEN")]
    assert timedelta(0) < LOOK_AGAIN_AFTER < timedelta(hours=1)


async def test_the_daily_sweep_goes_over_weeks_piece_by_piece_and_begins_anew(
    books: Books, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.reconciliation.sweeps.OBJECTS_ENOUGH", 4)
    forgotten = await books.paid(ada, "too old")
    books.acts.clock.advance(timedelta(days=2))
    for number in range(10):
        paid = await books.paid(ada, f"payment {number}")
        charge_another_fee(books, paid)
        books.acts.clock.advance(timedelta(days=3))
    books.acts.clock.advance(REACH - timedelta(days=32) + timedelta(days=1))
    lose(books, forgotten)
    sweep = ReconcileAll(books.reconcile)
    marks: list[datetime] = []
    result = await run(books, sweep, None)
    while result.more:
        assert result.mark is not None
        marks.append(result.mark)
        result = await run(books, sweep, result.mark)
    assert marks == sorted(set(marks))
    assert len(marks) > 2
    assert result.mark is None
    # What is older than the sweep's reach is left to `florin reconcile`.
    assert [kind for kind, _ in await books.stored()] == ["FEE_DIFFERS"] * 10
