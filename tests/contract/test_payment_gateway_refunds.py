"""What every PaymentGateway does when money goes back."""

import asyncio

import pytest

from domain.currencies import Currency
from domain.money import Money
from domain.payments.gateway import (
    RefundReportStatus,
    RejectionKind,
    RequestRejected,
)
from domain.payments.refund import RefundReason
from domain.payments.transaction import CaptureMethod
from tests.contract.acts import give_back, new_key, pay, refund_of
from tests.contract.backends import Backend, Capability


async def test_money_goes_back_in_parts(backend: Backend) -> None:
    charge = await pay(backend)
    assert await backend.gateway.list_refunds(charge.reference) == []
    first, second = await give_back(backend, charge, 1500), await give_back(backend, charge, 500)
    for report, minor_units in ((first, 1500), (second, 500)):
        assert report.status is RefundReportStatus.SUCCEEDED
        assert report.money == Money(minor_units, Currency.USD)
        assert report.charge_reference == charge.reference
        assert (report.reason, report.failure) == (None, None)
        assert await backend.gateway.look_up_refund(report.reference) == report
    listed = await backend.gateway.list_refunds(charge.reference)
    assert {report.refund_id: report for report in listed} == {first.refund_id: first, second.refund_id: second}


async def test_a_refund_is_known_by_the_id_that_was_sent_along(backend: Backend) -> None:
    charge = await pay(backend)
    order = refund_of(charge, 100)
    report = await backend.gateway.refund_charge(order, key=new_key())
    assert report.refund_id == order.refund_id


@pytest.mark.parametrize("reason", RefundReason)
async def test_a_refund_keeps_its_reason(backend: Backend, reason: RefundReason) -> None:
    backend.require(Capability.REFUND_REASON)
    assert (await give_back(backend, await pay(backend), 100, reason=reason)).reason is reason


async def test_the_same_key_refunds_once(backend: Backend) -> None:
    backend.require(Capability.IDEMPOTENCY)
    charge = await pay(backend)
    order, key = refund_of(charge, 600), new_key()
    reports = await asyncio.gather(*[backend.gateway.refund_charge(order, key=key) for _ in range(4)])
    reports.append(await backend.gateway.refund_charge(order, key=key))
    assert len({report.reference for report in reports}) == 1
    assert len(await backend.gateway.list_refunds(charge.reference)) == 1


async def test_no_more_than_was_captured_goes_back(backend: Backend) -> None:
    backend.require(Capability.REFUND_LIMITS)
    charge = await pay(backend)
    await give_back(backend, charge, 1500)
    with pytest.raises(RequestRejected) as caught:
        await give_back(backend, charge, 501)
    assert caught.value.kind is RejectionKind.AMOUNT
    assert len(await backend.gateway.list_refunds(charge.reference)) == 1


async def test_what_is_refunded_already_is_not_refunded_again(backend: Backend) -> None:
    backend.require(Capability.REFUND_LIMITS)
    charge = await pay(backend)
    await give_back(backend, charge, 2000)
    with pytest.raises(RequestRejected) as caught:
        await give_back(backend, charge, 1)
    assert caught.value.kind is RejectionKind.ALREADY_REFUNDED


async def test_a_partial_capture_bounds_the_refund(backend: Backend) -> None:
    backend.require(Capability.REFUND_LIMITS, Capability.PARTIAL_CAPTURE)
    authorized = await pay(backend, capture=CaptureMethod.MANUAL)
    charge = await backend.gateway.capture_charge(authorized.reference, Money(700, Currency.USD), key=new_key())
    with pytest.raises(RequestRejected) as caught:
        await give_back(backend, charge, 701)
    assert caught.value.kind is RejectionKind.AMOUNT
    assert (await give_back(backend, charge, 700)).status is RefundReportStatus.SUCCEEDED


async def test_a_charge_that_took_no_money_is_not_refunded(backend: Backend) -> None:
    backend.require(Capability.ERROR_CODES)
    declined = await pay(backend, method=backend.methods.declined)
    with pytest.raises(RequestRejected):
        await give_back(backend, declined, 100)
    assert await backend.gateway.list_refunds(declined.reference) == []
