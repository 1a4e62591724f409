"""What every ProcessorRecords tells of a span of time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TypeVar

from app.time_and_ids import SystemClock
from domain.payments.gateway import ChargeReport, ChargeStatus, RefundReportStatus
from domain.payments.transaction import CaptureMethod
from domain.reconciliation.records import BalanceEntry, BalanceEntryKind, Dated, Window
from tests.contract.acts import AMOUNT, give_back, new_key, order_of, pay, refund_of
from tests.contract.backends import Backend, Capability

R = TypeVar("R")

A_SECOND = timedelta(seconds=1)


def lately() -> Window:
    """The last hour, and a little of the next one: the processor's clock need not be ours."""
    now = SystemClock().now().replace(microsecond=0)
    return Window(now - timedelta(hours=1), now + timedelta(hours=1))


async def everything(records: AsyncIterator[R]) -> list[R]:
    return [record async for record in records]


async def made_at(backend: Backend, charge: ChargeReport) -> datetime:
    [found] = [dated for dated in await charges_in(backend, lately()) if dated.report.reference == charge.reference]
    return found.created_at


async def charges_in(backend: Backend, window: Window) -> list[Dated[ChargeReport]]:
    return await everything(backend.records.charges(window))


async def test_a_charge_is_listed_as_it_is_looked_up(backend: Backend) -> None:
    backend.require(Capability.LISTS, Capability.FEES)
    paid = await pay(backend)
    held = await pay(backend, capture=CaptureMethod.MANUAL)
    listed = {dated.report.reference: dated.report for dated in await charges_in(backend, lately())}
    for charge in (paid, held):
        now = await backend.gateway.look_up_charge(charge.reference)
        assert listed[charge.reference] == now
    assert listed[paid.reference].fee is not None


async def test_charges_without_money_are_listed_too(backend: Backend) -> None:
    backend.require(Capability.LISTS)
    created = await backend.gateway.create_charge(order_of(backend), key=new_key())
    declined = await pay(backend, method=backend.methods.declined)
    listed = {dated.report.reference: dated.report for dated in await charges_in(backend, lately())}
    assert listed[created.reference].status is ChargeStatus.UNCONFIRMED
    assert listed[created.reference].transaction_id == created.transaction_id
    assert listed[declined.reference].status is ChargeStatus.DECLINED


async def test_a_window_holds_its_first_second_and_not_its_last(backend: Backend) -> None:
    backend.require(Capability.LISTS)
    charge = await pay(backend)
    at = await made_at(backend, charge)

    async def within(window: Window) -> bool:
        return charge.reference in {dated.report.reference for dated in await charges_in(backend, window)}

    assert await within(Window(at, at + A_SECOND))
    assert not await within(Window(at - A_SECOND, at))
    assert not await within(Window(at + A_SECOND, at + 2 * A_SECOND))


async def test_a_list_is_longer_than_a_page_and_comes_newest_first(backend: Backend) -> None:
    backend.require(Capability.LISTS)
    ten_at_a_time = asyncio.Semaphore(10)

    async def create() -> ChargeReport:
        async with ten_at_a_time:
            return await backend.gateway.create_charge(order_of(backend), key=new_key())

    created = await asyncio.gather(*(create() for _ in range(101)))
    listed = await charges_in(backend, lately())
    references = [dated.report.reference for dated in listed]
    assert {charge.reference for charge in created} <= set(references)
    assert len(references) == len(set(references))
    times = [dated.created_at for dated in listed]
    assert times == sorted(times, reverse=True)


async def test_a_refund_is_listed_as_it_is_looked_up(backend: Backend) -> None:
    backend.require(Capability.LISTS)
    charge = await pay(backend)
    refund = await give_back(backend, charge, 700)
    listed = {dated.report.reference: dated for dated in await everything(backend.records.refunds(lately()))}
    now = await backend.gateway.look_up_refund(refund.reference)
    assert listed[refund.reference].report == now
    assert now.status is RefundReportStatus.SUCCEEDED
    at = listed[refund.reference].created_at
    later = await everything(backend.records.refunds(Window(at + A_SECOND, at + 2 * A_SECOND)))
    assert refund.reference not in {dated.report.reference for dated in later}


async def test_a_dispute_is_listed_as_it_is_looked_up_with_the_money_that_it_moved(backend: Backend) -> None:
    backend.require(Capability.LISTS, Capability.DISPUTES)
    assert backend.bank is not None
    charge = await pay(backend, method=backend.methods.disputed)
    reference = await backend.bank.dispute(charge)
    await backend.bank.decide(reference, won=True)
    now = await backend.gateway.look_up_dispute(reference)
    listed = {dated.report.reference: dated.report for dated in await everything(backend.records.disputes(lately()))}
    assert listed[reference] == now
    entries = await entries_of(backend, reference)
    assert [entry.kind for entry in entries] == [BalanceEntryKind.DISPUTE] * 2
    assert sorted(entry.money.minor_units for entry in entries) == [-2000, 2000]
    assert all(entry.source == now for entry in entries)


async def test_the_balance_tells_what_was_taken_and_what_went_back(backend: Backend) -> None:
    backend.require(Capability.LISTS, Capability.FEES)
    charge = await pay(backend)
    order = refund_of(charge, 700)
    refund = await backend.gateway.refund_charge(order, key=new_key())
    taken, given = await entries_of(backend, charge.reference), await entries_of(backend, refund.reference)
    [entry] = taken
    assert charge.fee is not None
    assert (entry.kind, entry.money, entry.fee) == (BalanceEntryKind.CHARGE, AMOUNT, charge.fee.minor_units)
    assert entry.net == entry.money.minor_units - entry.fee
    assert isinstance(entry.source, ChargeReport)
    assert (entry.source.captured, entry.source.fee) == (AMOUNT.minor_units, charge.fee)
    assert entry.source.transaction_id == charge.transaction_id
    [entry] = given
    assert (entry.kind, entry.money.minor_units, entry.money.currency) == (
        BalanceEntryKind.REFUND,
        -700,
        AMOUNT.currency,
    )
    assert entry.source == await backend.gateway.look_up_refund(refund.reference)


async def test_the_balance_knows_nothing_of_money_that_is_only_held(backend: Backend) -> None:
    backend.require(Capability.LISTS, Capability.FEES)
    held = await pay(backend, capture=CaptureMethod.MANUAL)
    assert await entries_of(backend, held.reference) == []
    await backend.gateway.capture_charge(held.reference, AMOUNT, key=new_key())
    assert len(await entries_of(backend, held.reference)) == 1


async def entries_of(backend: Backend, reference: str) -> list[BalanceEntry]:
    entries = await everything(backend.records.balance_entries(lately()))
    return [entry for entry in entries if entry.source is not None and entry.source.reference == reference]
