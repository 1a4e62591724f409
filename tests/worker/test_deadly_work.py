"""What kills its worker is parked after some deaths, by workers that really die."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import TransactionId, UserId
from domain.messaging.apply_webhooks import FAILURES_MAX
from domain.messaging.webhook_events import EventSubject
from domain.payments.attempt import Attempt
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.acts import Acts
from tests.support.clock import START, SequentialIds
from tests.support.database import make_due, rows
from tests.support.records import attempt, transaction, user
from tests.support.waiting import until
from tests.worker.deadly import DEADLY, DEATHS_MAX

Awaiter = Callable[[], Awaitable[None]]


async def start_worker(database_url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.worker.deadly", database_url)


async def work_until(database_url: str, done: Callable[[], Awaitable[object]], let_time_pass: Awaiter) -> int:
    """Start a worker again each time one dies; how many died before one lived to see it done."""
    for deaths in range(10):
        worker = await start_worker(database_url)
        dead = asyncio.create_task(worker.wait())
        lives = asyncio.create_task(until(done))
        await asyncio.wait((dead, lives), return_when=asyncio.FIRST_COMPLETED)
        if lives.done():
            worker.send_signal(signal.SIGTERM)
            assert await dead == 0
            return deaths
        assert dead.result() == -signal.SIGKILL
        lives.cancel()
        await let_time_pass()
    pytest.fail("It killed one worker after the other.")


async def add_charge(units: SqlUnitsOfWork, ids: SequentialIds, payer: UserId, reference: str) -> Attempt:
    async with units.begin() as uow:
        begun = transaction(ids.new(), payer, processor_reference=reference)
        await uow.transactions.add(begun)
        begun_attempt = attempt(ids.new(), TransactionId(begun.id))
        await uow.attempts.add(begun_attempt)
    return begun_attempt


@pytest.fixture
async def payer(units: SqlUnitsOfWork) -> UserId:
    payer = user(SequentialIds().new())
    async with units.begin() as uow:
        await uow.users.add(payer)
    return payer.id


async def test_an_attempt_that_kills_its_workers_is_parked(
    database_url: str, engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId
) -> None:
    ids = SequentialIds()
    deadly = await add_charge(units, ids, payer, DEADLY)
    innocent = await add_charge(units, ids, payer, "ch_innocent")
    await make_due(engine)

    left = "SELECT state, unreported_claims FROM attempts WHERE id = :id"

    async def all_is_told() -> bool:
        if await rows(engine, "SELECT 1 FROM attempts WHERE state = 'PARKED'") == []:
            return False
        # What died with it is taken up apart from it, which a test does not wait for, and goes on.
        await make_due(engine, innocent)
        return await rows(engine, left, id=innocent.id) == [("OPEN", 0)]

    deaths = await work_until(database_url, all_is_told, lambda: make_due(engine, deadly))
    # The first to hold it without a word was the request that stored it.
    assert deaths == DEATHS_MAX - 1
    reason = f"Whoever worked on it died without a word, {DEATHS_MAX} times in a row."
    assert await rows(engine, "SELECT state, reason FROM attempts WHERE id = :id", id=deadly.id) == [("PARKED", reason)]


async def test_an_event_that_kills_its_workers_is_parked(
    database_url: str, engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, acts: Acts
) -> None:
    deadly = acts.event("evt_deadly", EventSubject.CHARGE, DEADLY)
    async with units.begin() as uow:
        await uow.webhook_events.store(deadly, START)

    async def parked() -> bool:
        return await rows(engine, "SELECT 1 FROM webhook_events WHERE state = 'PARKED'") != []

    assert await work_until(database_url, parked, lambda: make_due(engine)) == FAILURES_MAX
    # Another event about the same thing is another story, and so is one about nothing.
    harmless = replace(deadly, id="evt_harmless", reference=None)
    async with units.begin() as uow:
        await uow.webhook_events.store(harmless, START)

    async def ignored() -> bool:
        return await rows(engine, "SELECT 1 FROM webhook_events WHERE state = 'IGNORED'") != []

    assert await work_until(database_url, ignored, lambda: make_due(engine)) == 0
