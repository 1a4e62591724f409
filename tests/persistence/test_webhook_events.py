"""Webhook events: what their repository promises when several processes use it at the same moment."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.messaging.webhook_events import EventState, EventSubject
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.acts import Acts
from tests.support.at_once import at_once
from tests.support.clock import START
from tests.support.database import make_due, rows


async def test_an_event_is_stored_once(units: SqlUnitsOfWork, acts: Acts) -> None:
    event = acts.event("evt_1", EventSubject.CHARGE, "ch_1")
    outcomes = await at_once(units, 10, lambda uow: uow.webhook_events.store(event, START))
    assert sorted(outcomes) == [False] * 9 + [True]
    async with units.begin() as uow:
        assert not await uow.webhook_events.store(replace(event, body=b"other"), START)
        assert await uow.webhook_events.claim_due(10) == [replace(event, tries=1, failures=1)]


async def test_events_are_claimed_once_and_settled_for_good(
    engine: AsyncEngine, units: SqlUnitsOfWork, acts: Acts
) -> None:
    events = [acts.event(f"evt_{number:02}", EventSubject.CHARGE, None) for number in range(12)]
    async with units.begin() as uow:
        for event in events:
            await uow.webhook_events.store(event, START)
    claims = await at_once(units, 6, lambda uow: uow.webhook_events.claim_due(2))
    assert all(len(claim) <= 2 for claim in claims)
    claimed = [event.id for claim in claims for event in claim]
    assert len(claimed) == len(set(claimed))
    async with units.begin() as uow:
        settle, defer = uow.webhook_events.settle, uow.webhook_events.defer
        await settle(events[:1], EventState.APPLIED, None, transaction_id=None, at=START)
        # Settled is settled: neither a late pause nor another verdict undoes it.
        await defer(events[:2], timedelta(hours=1), "busy", failed=False)
        await settle(events[:1], EventState.QUARANTINED, "late", transaction_id=None, at=START)
    found = await rows(engine, "SELECT id, state, reason FROM webhook_events WHERE id < 'evt_02' ORDER BY id")
    assert found == [("evt_00", "APPLIED", None), ("evt_01", "RECEIVED", "busy")]
    async with units.begin() as uow:
        assert not {"evt_00", "evt_01"} & {event.id for event in await uow.webhook_events.claim_due(100)}


async def test_what_is_claimed_together_is_in_the_order_of_time(units: SqlUnitsOfWork, acts: Acts) -> None:
    events = [
        replace(acts.event(f"evt_{number}", EventSubject.CHARGE, None), created_at=START + timedelta(seconds=-number))
        for number in range(9)
    ]
    async with units.begin() as uow:
        for event in events:
            await uow.webhook_events.store(event, START)
        claimed = await uow.webhook_events.claim_due(100)
    assert [event.id for event in claimed] == [event.id for event in reversed(events)]


async def test_an_event_that_is_held_on_to_is_not_due(engine: AsyncEngine, units: SqlUnitsOfWork, acts: Acts) -> None:
    event = acts.event("evt_1", EventSubject.CHARGE, "ch_1")
    async with units.begin() as uow:
        await uow.webhook_events.store(event, START)
        await uow.webhook_events.claim_due(1)
    await make_due(engine)
    async with units.begin() as uow:
        await uow.webhook_events.renew([event])
        assert await uow.webhook_events.claim_due(1) == []
        await uow.webhook_events.settle([event], EventState.APPLIED, None, transaction_id=None, at=START)
    before = await rows(engine, "SELECT * FROM webhook_events")
    async with units.begin() as uow:
        await uow.webhook_events.renew([event])
    assert await rows(engine, "SELECT * FROM webhook_events") == before
