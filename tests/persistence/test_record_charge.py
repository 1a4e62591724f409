"""Writing down a payment's charge: it and the attempt's step change together or not at all, whoever else is at it."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import EVERYTHING
from domain.ids import TransactionId, UserId
from domain.payments.attempt import Attempt, AttemptStep
from domain.payments.gateway import ChargeReport, ChargeStatus
from domain.ports import LeaseLost
from persistence.connection import Connection
from persistence.engine import working
from persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork
from tests.support.clock import START, SequentialIds
from tests.support.database import rows
from tests.support.records import TEN_DOLLARS, add_charges
from tests.support.waiting import until

_STORED = "SELECT processor_reference, version FROM transactions"
_STEPS = "SELECT step FROM attempts"
_UNTOUCHED = [(None, 1)]
_CREATE, _CONFIRM = [(AttemptStep.CREATE.value,)], [(AttemptStep.CONFIRM.value,)]


def report(transaction_id: TransactionId, reference: str = "ch_1") -> ChargeReport:
    return ChargeReport(
        reference=reference,
        status=ChargeStatus.UNCONFIRMED,
        money=TEN_DOLLARS,
        captured=0,
        processor_status="requires_confirmation",
        live=False,
        transaction_id=transaction_id,
    )


@pytest.fixture
async def held(units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds) -> Attempt:
    (held,) = await add_charges(units, ids, payer, 1)
    return held


async def record(units: SqlUnitsOfWork, attempt: Attempt, reference: str = "ch_1") -> bool:
    async with units.autocommit() as uow:
        return await uow.payments.record_charge(attempt, report(attempt.transaction_id, reference), START)


async def record_while(engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt, change: str) -> bool:
    """Record a charge that has to wait, because somebody has locked the transaction, and makes this change meanwhile."""

    async def waits() -> object:
        blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return await rows(engine, blocked)

    async with working(engine) as other:
        await SqlUnitOfWork(other).transactions.lock(held.transaction_id, EVERYTHING)
        recording = asyncio.create_task(record(units, held))
        await until(waits)
        await _changed(other, change)
    return await recording


async def _changed(connection: Connection, change: str) -> None:
    assert await connection.execute(text(change)) == 1


async def test_a_charge_and_the_next_step_are_written_down_together(
    engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt
) -> None:
    assert await record(units, held)
    assert await rows(engine, _STORED) == [("ch_1", 2)]
    assert await rows(engine, _STEPS) == _CONFIRM
    assert await rows(engine, "SELECT 1 FROM attempts WHERE lease_until > clock_timestamp()") == [(1,)]


async def test_a_second_charge_is_not_written_down(engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt) -> None:
    assert await record(units, held)
    assert not await record(units, held, "ch_2")
    assert await rows(engine, _STORED) == [("ch_1", 2)]


async def test_who_has_lost_the_attempt_writes_nothing_down(
    engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt
) -> None:
    with pytest.raises(LeaseLost):
        await record(units, replace(held, tries=held.tries + 1))
    assert await rows(engine, _STORED) == _UNTOUCHED
    assert await rows(engine, _STEPS) == _CREATE


async def test_a_transaction_that_does_not_exist_has_no_charge(units: SqlUnitsOfWork, held: Attempt) -> None:
    assert not await record(units, replace(held, transaction_id=TransactionId(held.id)))


async def test_of_many_at_once_one_writes_its_charge_down(
    engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt
) -> None:
    told = await asyncio.gather(*(record(units, held, f"ch_{number}") for number in range(8)))
    assert sorted(told) == [False] * 7 + [True]
    assert await rows(engine, _STORED) == [(f"ch_{told.index(True)}", 2)]


async def test_a_change_that_it_waited_for_is_kept(engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt) -> None:
    change = "UPDATE transactions SET version = version + 1, description = 'changed'"
    assert await record_while(engine, units, held, change)
    assert await rows(engine, "SELECT processor_reference, version, description FROM transactions") == [
        ("ch_1", 3, "changed")
    ]
    assert await rows(engine, _STEPS) == _CONFIRM


async def test_a_charge_that_it_waited_for_stays_the_only_one(
    engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt
) -> None:
    change = "UPDATE transactions SET processor_reference = 'ch_other'"
    assert not await record_while(engine, units, held, change)
    assert await rows(engine, _STORED) == [("ch_other", 1)]
    assert await rows(engine, _STEPS) == _CREATE


async def test_an_attempt_that_was_taken_over_meanwhile_is_noticed(
    engine: AsyncEngine, units: SqlUnitsOfWork, held: Attempt
) -> None:
    with pytest.raises(LeaseLost):
        await record_while(engine, units, held, "UPDATE attempts SET tries = tries + 1")
    assert await rows(engine, _STORED) == _UNTOUCHED
    assert await rows(engine, _STEPS) == _CREATE
