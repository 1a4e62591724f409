"""Transactions and refunds: what their repositories promise when several processes use them at the same moment."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import EVERYTHING, Scope
from domain.errors import ErrorCode
from domain.ids import TransactionId, UserId
from domain.money import Money
from domain.payments.refund import RefundStatus
from domain.payments.transaction import Failure, NextAction, NextActionType, Transaction, TransactionStatus
from domain.ports import StaleVersion
from persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork
from tests.support.at_once import at_once
from tests.support.clock import SequentialIds
from tests.support.database import rows
from tests.support.records import add_transaction, audit_entry, refund, transaction


async def test_a_transaction_comes_back_as_it_was_stored(
    units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    plain = transaction(ids.new(), payer, description="Tea ☕")
    full = replace(
        plain,
        id=TransactionId(ids.new()),
        metadata={"a": [1, {"b": None}], "ключ": "😀"},
        return_url="https://shop.test/back",
        fee=Money(59, plain.money.currency),
        processor_reference="ch_2",
        processor_status="requires_action",
        failure=Failure("card_declined", "No.", "lost_card", retryable=True, refusal=ErrorCode.PROCESSOR_REFUSED),
        next_action=NextAction(NextActionType.REDIRECT, "https://processor.test/", "secret"),
    )
    bare = replace(plain, id=TransactionId(ids.new()), payment_method=None)
    async with units.begin() as uow:
        for one in (plain, full, bare):
            await uow.transactions.add(one)
    async with units.begin() as uow:
        assert [await uow.transactions.get(one.id) for one in (plain, full, bare)] == [plain, full, bare]
        assert await uow.transactions.get_by_reference("ch_2") == full
        assert await uow.transactions.lock_by_reference("ch_2") == full
        assert await uow.transactions.get_by_reference("ch_3") is None
        assert await uow.transactions.lock(full.id, Scope(UserId(ids.new()))) is None
        assert await uow.transactions.lock(full.id, Scope(payer)) == full


async def test_a_refund_comes_back_as_it_was_stored(
    units: SqlUnitsOfWork, paid: Transaction, ids: SequentialIds
) -> None:
    given = refund(ids.new(), paid)
    failed = replace(
        given, status=RefundStatus.FAILED, processor_reference="re_1", failure=Failure("expired", "The card expired.")
    )
    async with units.begin() as uow:
        await uow.refunds.add(given)
        assert await uow.refunds.get(given.id) == given
        await uow.refunds.save(failed)
    async with units.begin() as uow:
        assert await uow.refunds.get(given.id) == failed
        assert await uow.refunds.get_by_reference("re_1") == failed
        assert await uow.refunds.get_by_reference("re_2") is None


async def test_a_change_of_an_old_version_is_refused(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async with units.begin() as uow:
        newer = await uow.transactions.save(replace(paid, processor_status="succeeded"))
    assert newer.version == paid.version + 1
    with pytest.raises(StaleVersion):
        async with units.begin() as uow:
            await uow.transactions.save(replace(paid, processor_status="lost"))
    async with units.begin() as uow:
        assert await uow.transactions.get(paid.id) == newer


async def test_a_change_and_its_audit_entry_are_stored_together_or_not_at_all(
    engine: AsyncEngine, units: SqlUnitsOfWork, paid: Transaction, ids: SequentialIds
) -> None:
    async def entries() -> list[tuple[object, ...]]:
        return await rows(engine, "SELECT id, details FROM audit_entries JOIN audit_links ON entry_id = id")

    assert await entries() == []
    entry = replace(audit_entry(ids.new(), paid), details={"via": "test", "none": None})
    async with units.begin() as uow:
        newer = await uow.payments.save(replace(paid, processor_status="succeeded"), entry)
    assert newer == replace(paid, processor_status="succeeded", version=paid.version + 1)
    assert await entries() == [(entry.id, entry.details)]
    with pytest.raises(StaleVersion):
        async with units.begin() as uow:
            await uow.payments.save(replace(paid, processor_status="lost"), audit_entry(ids.new(), paid))
    async with units.begin() as uow:
        assert await uow.transactions.get(paid.id) == newer
    assert await entries() == [(entry.id, entry.details)]


async def test_of_changes_at_once_one_is_made(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async def save(uow: SqlUnitOfWork) -> bool:
        try:
            await uow.transactions.save(replace(paid, processor_status="succeeded"))
        except StaleVersion:
            return False
        return True

    assert sorted(await at_once(units, 10, save)) == [False] * 9 + [True]


async def test_a_reservation_makes_what_was_read_before_stale(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async with units.begin() as uow:
        assert await uow.transactions.reserve_refund(paid.id, 1)
        with pytest.raises(StaleVersion):
            await uow.transactions.save(paid)


@pytest.mark.parametrize(("share", "granted"), [(100, 10), (300, 3), (1000, 1), (1001, 0)])
async def test_reservations_at_once_never_exceed_what_was_captured(
    units: SqlUnitsOfWork, paid: Transaction, share: int, granted: int
) -> None:
    outcomes = await at_once(units, 20, lambda uow: uow.transactions.reserve_refund(paid.id, share))
    assert sum(outcomes) == granted
    async with units.begin() as uow:
        after = await uow.transactions.get(paid.id)
    assert after is not None
    assert after.refund_reserved == granted * share <= after.captured


async def test_disputed_money_cannot_be_reserved(units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds) -> None:
    wanted = transaction(ids.new(), payer, status=TransactionStatus.COMPLETED, disputed=400)
    disputed = await add_transaction(units, wanted)
    async with units.begin() as uow:
        assert not await uow.transactions.reserve_refund(disputed.id, 601)
        assert await uow.transactions.reserve_refund(disputed.id, 600)


async def test_a_lock_is_waited_for(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async with units.begin() as uow:
        assert await uow.transactions.lock(paid.id, EVERYTHING) is not None

        async def second() -> Transaction | None:
            async with units.begin() as other:
                return await other.transactions.lock(paid.id, EVERYTHING)

        waiting = asyncio.create_task(second())
        newer = await uow.transactions.save(replace(paid, processor_status="changed"))
    assert await waiting == newer
