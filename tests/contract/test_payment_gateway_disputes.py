"""What every PaymentGateway tells of disputes, and of the money that they move."""

import pytest

from domain.money import Money
from domain.payments.dispute import DisputeStatus
from domain.payments.gateway import ChargeReport, DisputeReport, RejectionKind, RequestRejected
from tests.contract.acts import AMOUNT, give_back, pay
from tests.contract.backends import Backend, Bank, Capability


def bank_of(backend: Backend) -> Bank:
    backend.require(Capability.DISPUTES)
    assert backend.bank is not None
    return backend.bank


async def disputed(backend: Backend, method: str) -> tuple[ChargeReport, str]:
    charge = await pay(backend, method=method)
    return charge, await bank_of(backend).dispute(charge)


def moved(report: DisputeReport) -> list[Money]:
    return [movement.amount for movement in report.movements]


async def test_a_dispute_takes_the_money_and_a_fee(backend: Backend) -> None:
    bank_of(backend)
    charge, reference = await disputed(backend, backend.methods.disputed)
    report = await backend.gateway.look_up_dispute(reference)
    assert (report.reference, report.charge_reference) == (reference, charge.reference)
    assert (report.status, report.processor_status) == (DisputeStatus.NEEDS_RESPONSE, "needs_response")
    assert (report.money, report.reason, report.live) == (AMOUNT, "fraudulent", False)
    assert moved(report) == [Money(-2000, AMOUNT.currency)]
    assert [movement.fee for movement in report.movements] == [Money(1500, AMOUNT.currency)]


async def test_a_dispute_that_is_won_gives_the_money_back_and_keeps_the_fee(backend: Backend) -> None:
    bank = bank_of(backend)
    _, reference = await disputed(backend, backend.methods.disputed)
    await bank.decide(reference, won=True)
    report = await backend.gateway.look_up_dispute(reference)
    assert report.status is DisputeStatus.WON
    assert sorted(moved(report), key=lambda money: money.minor_units) == [
        Money(-2000, AMOUNT.currency),
        Money(2000, AMOUNT.currency),
    ]
    assert sum(movement.fee.minor_units for movement in report.movements) == 1500
    assert len({movement.reference for movement in report.movements}) == 2


async def test_a_dispute_that_is_lost_moves_nothing_more(backend: Backend) -> None:
    bank = bank_of(backend)
    _, reference = await disputed(backend, backend.methods.disputed)
    opened = await backend.gateway.look_up_dispute(reference)
    await bank.decide(reference, won=False)
    report = await backend.gateway.look_up_dispute(reference)
    assert report.status is DisputeStatus.LOST
    assert report.movements == opened.movements


async def test_an_inquiry_moves_no_money_and_lets_it_be_refunded(backend: Backend) -> None:
    bank = bank_of(backend)
    charge, reference = await disputed(backend, backend.methods.inquired)
    report = await backend.gateway.look_up_dispute(reference)
    assert (report.status, report.movements) == (DisputeStatus.INQUIRY, ())
    await give_back(backend, charge, 100)
    await bank.decide(reference, won=False)
    closed = await backend.gateway.look_up_dispute(reference)
    assert (closed.status, closed.movements) == (DisputeStatus.INQUIRY_CLOSED, ())


async def test_what_is_disputed_is_not_refunded(backend: Backend) -> None:
    bank_of(backend)
    charge, _ = await disputed(backend, backend.methods.disputed)
    with pytest.raises(RequestRejected) as caught:
        await give_back(backend, charge, 100)
    assert caught.value.kind is RejectionKind.WRONG_STATE
    assert await backend.gateway.list_refunds(charge.reference) == []


async def test_an_unknown_dispute_is_rejected(backend: Backend) -> None:
    bank_of(backend)
    with pytest.raises(RequestRejected) as caught:
        await backend.gateway.look_up_dispute("dp_0123456789abcdefghijklmn")
    assert caught.value.kind is RejectionKind.NOT_FOUND


async def test_what_a_refund_took_from_the_balance_is_told(backend: Backend) -> None:
    backend.require(Capability.FEES)
    charge = await pay(backend)
    assert charge.settled == AMOUNT
    assert (await give_back(backend, charge, 700)).settled == Money(700, AMOUNT.currency)
