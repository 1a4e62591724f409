"""What every PaymentGateway does. The domain is written against this, and tested with the fake that passes it."""

import asyncio

import pytest

from domain.currencies import Currency
from domain.money import Money
from domain.payments.gateway import (
    ChargeStatus,
    RejectionKind,
    RequestRejected,
)
from domain.payments.transaction import CaptureMethod, NextActionType
from tests.contract.acts import AMOUNT, RETURN_URL, new_key, order_of, pay
from tests.contract.backends import Backend, Capability

# Payment methods.


async def test_a_card_is_shown_by_its_last_digits(backend: Backend) -> None:
    summary = await backend.gateway.find_payment_method(backend.methods.good)
    assert summary is not None
    assert (summary.brand, summary.last4) == ("visa", "4242")
    assert 1 <= summary.expiry_month <= 12
    assert summary.expiry_year >= 2026


async def test_a_payment_method_that_does_not_exist(backend: Backend) -> None:
    backend.require(Capability.ERROR_CODES)
    with pytest.raises(RequestRejected) as caught:
        await backend.gateway.find_payment_method(backend.methods.unknown)
    assert caught.value.kind is RejectionKind.PAYMENT_METHOD


async def test_a_payment_method_that_is_no_card(backend: Backend) -> None:
    backend.require(Capability.NOT_A_CARD)
    assert await backend.gateway.find_payment_method(backend.methods.no_card) is None


# Creating.


@pytest.mark.parametrize(
    "money", [AMOUNT, Money(1000, Currency.JPY), Money(12340, Currency.KWD)], ids=["usd", "jpy", "kwd"]
)
async def test_a_created_charge_has_moved_no_money(backend: Backend, money: Money) -> None:
    order = order_of(backend, money=money)
    report = await backend.gateway.create_charge(order, key=new_key())
    assert report.status is ChargeStatus.UNCONFIRMED
    assert report.money == money
    assert report.captured == 0
    assert report.transaction_id == order.transaction_id
    assert not report.live
    assert report.reference
    assert report.processor_status
    assert (report.fee, report.failure, report.next_action) == (None, None, None)
    assert await backend.gateway.look_up_charge(report.reference) == report


async def test_a_charge_may_be_described(backend: Backend) -> None:
    backend.require(Capability.DESCRIPTION)
    order = order_of(backend, description="Zwölf Tassen Tee & ein Stück Kuchen")
    assert (await backend.gateway.create_charge(order, key=new_key())).status is ChargeStatus.UNCONFIRMED


async def test_too_small_a_charge_is_rejected(backend: Backend) -> None:
    backend.require(Capability.AMOUNT_LIMITS)
    with pytest.raises(RequestRejected) as caught:
        await backend.gateway.create_charge(order_of(backend, money=Money(1, Currency.USD)), key=new_key())
    assert caught.value.kind is RejectionKind.AMOUNT
    assert caught.value.failure.message


async def test_an_unknown_payment_method_is_rejected(backend: Backend) -> None:
    backend.require(Capability.ERROR_CODES)
    with pytest.raises(RequestRejected) as caught:
        await backend.gateway.create_charge(order_of(backend, method=backend.methods.unknown), key=new_key())
    assert caught.value.kind is RejectionKind.PAYMENT_METHOD


async def test_the_same_key_creates_one_charge(backend: Backend) -> None:
    backend.require(Capability.IDEMPOTENCY)
    order, key = order_of(backend), new_key()
    reports = await asyncio.gather(*[backend.gateway.create_charge(order, key=key) for _ in range(4)])
    reports.append(await backend.gateway.create_charge(order, key=key))
    assert len({report.reference for report in reports}) == 1


async def test_an_unknown_charge_is_not_found(backend: Backend) -> None:
    backend.require(Capability.ERROR_CODES)
    for look_up in (backend.gateway.look_up_charge, backend.gateway.look_up_refund):
        with pytest.raises(RequestRejected) as caught:
            await look_up("pi_0123456789abcdefghijklmn")
        assert caught.value.kind is RejectionKind.NOT_FOUND


# Confirming.


async def test_a_confirmed_charge_has_taken_the_money(backend: Backend) -> None:
    report = await pay(backend)
    assert report.status is ChargeStatus.SUCCEEDED
    assert report.captured == AMOUNT.minor_units
    assert report.payment_method is not None
    assert report.payment_method.last4 == "4242"
    assert report.failure is None
    looked_up = await backend.gateway.look_up_charge(report.reference)
    assert (looked_up.status, looked_up.captured) == (report.status, report.captured)


async def test_the_fee_is_told(backend: Backend) -> None:
    backend.require(Capability.FEES)
    fee = (await pay(backend)).fee
    assert fee is not None
    assert 0 < fee.minor_units < AMOUNT.minor_units


async def test_confirming_again_takes_no_more(backend: Backend) -> None:
    backend.require(Capability.IDEMPOTENCY, Capability.STATE_GUARD)
    created = await backend.gateway.create_charge(order_of(backend), key=new_key())
    key = new_key()
    reports = [
        await backend.gateway.confirm_charge(created.reference, return_url=None, key=repeated)
        for repeated in (key, key, new_key())
    ]
    assert [(report.status, report.captured) for report in reports] == [(ChargeStatus.SUCCEEDED, 2000)] * 3


async def test_confirming_at_the_same_time_takes_the_money_once(backend: Backend) -> None:
    backend.require(Capability.STATE_GUARD)
    created = await backend.gateway.create_charge(order_of(backend), key=new_key())
    reports = await asyncio.gather(
        *[backend.gateway.confirm_charge(created.reference, return_url=None, key=new_key()) for _ in range(4)]
    )
    assert {(report.status, report.captured) for report in reports} == {(ChargeStatus.SUCCEEDED, 2000)}


async def test_a_decline_is_a_report(backend: Backend) -> None:
    report = await pay(backend, method=backend.methods.declined)
    assert report.status is ChargeStatus.DECLINED
    assert report.captured == 0
    assert report.failure is not None
    assert report.failure.code == "card_declined"
    assert report.failure.message
    looked_up = await backend.gateway.look_up_charge(report.reference)
    assert (looked_up.status, looked_up.failure) == (report.status, report.failure)


async def test_a_decline_says_why(backend: Backend) -> None:
    backend.require(Capability.DECLINE_CODES)
    expected = {
        backend.methods.declined: ("card_declined", "generic_decline", False),
        backend.methods.insufficient_funds: ("card_declined", "insufficient_funds", False),
        backend.methods.processing_error: ("processing_error", "processing_error", True),
    }
    for method, (code, decline_code, retryable) in expected.items():
        failure = (await pay(backend, method=method)).failure
        assert failure is not None
        assert failure.code == code
        assert (failure.decline_code or failure.code) == decline_code
        assert failure.retryable is retryable


async def test_a_declined_charge_stays_declined(backend: Backend) -> None:
    backend.require(Capability.STATE_GUARD)
    report = await pay(backend, method=backend.methods.declined)
    again = await backend.gateway.confirm_charge(report.reference, return_url=None, key=new_key())
    assert again.status is ChargeStatus.DECLINED
    assert again.failure == report.failure


# Capturing later.


async def test_an_authorized_charge_takes_nothing_yet(backend: Backend) -> None:
    report = await pay(backend, capture=CaptureMethod.MANUAL)
    assert report.status is ChargeStatus.AUTHORIZED
    assert report.captured == 0


async def test_a_capture_takes_the_money(backend: Backend) -> None:
    authorized = await pay(backend, capture=CaptureMethod.MANUAL)
    report = await backend.gateway.capture_charge(authorized.reference, AMOUNT, key=new_key())
    assert report.status is ChargeStatus.SUCCEEDED
    assert report.captured == AMOUNT.minor_units


async def test_a_part_may_be_captured(backend: Backend) -> None:
    backend.require(Capability.PARTIAL_CAPTURE)
    authorized = await pay(backend, capture=CaptureMethod.MANUAL)
    report = await backend.gateway.capture_charge(authorized.reference, Money(700, Currency.USD), key=new_key())
    assert report.status is ChargeStatus.SUCCEEDED
    assert (report.captured, report.money) == (700, AMOUNT)


async def test_no_more_than_was_authorized_is_captured(backend: Backend) -> None:
    backend.require(Capability.AMOUNT_LIMITS)
    authorized = await pay(backend, capture=CaptureMethod.MANUAL)
    with pytest.raises(RequestRejected) as caught:
        await backend.gateway.capture_charge(authorized.reference, Money(2001, Currency.USD), key=new_key())
    assert caught.value.kind is RejectionKind.AMOUNT
    assert (await backend.gateway.look_up_charge(authorized.reference)).status is ChargeStatus.AUTHORIZED


async def test_a_captured_charge_is_reported_as_it_is(backend: Backend) -> None:
    backend.require(Capability.STATE_GUARD, Capability.PARTIAL_CAPTURE)
    authorized = await pay(backend, capture=CaptureMethod.MANUAL)
    await backend.gateway.capture_charge(authorized.reference, Money(700, Currency.USD), key=new_key())
    again = await backend.gateway.capture_charge(authorized.reference, AMOUNT, key=new_key())
    assert (again.status, again.captured) == (ChargeStatus.SUCCEEDED, 700)


async def test_a_charge_that_was_not_confirmed_is_reported_as_it_is(backend: Backend) -> None:
    backend.require(Capability.STATE_GUARD)
    created = await backend.gateway.create_charge(order_of(backend, capture=CaptureMethod.MANUAL), key=new_key())
    report = await backend.gateway.capture_charge(created.reference, AMOUNT, key=new_key())
    assert (report.status, report.captured) == (ChargeStatus.UNCONFIRMED, 0)


# Canceling.


async def test_an_unconfirmed_charge_can_be_canceled(backend: Backend) -> None:
    created = await backend.gateway.create_charge(order_of(backend), key=new_key())
    assert (await backend.gateway.cancel_charge(created.reference, key=new_key())).status is ChargeStatus.CANCELED


async def test_an_authorized_charge_can_be_canceled(backend: Backend) -> None:
    authorized = await pay(backend, capture=CaptureMethod.MANUAL)
    report = await backend.gateway.cancel_charge(authorized.reference, key=new_key())
    assert (report.status, report.captured) == (ChargeStatus.CANCELED, 0)


async def test_a_declined_charge_can_be_canceled(backend: Backend) -> None:
    declined = await pay(backend, method=backend.methods.declined)
    assert (await backend.gateway.cancel_charge(declined.reference, key=new_key())).status is ChargeStatus.CANCELED


async def test_a_charge_that_succeeded_is_not_canceled(backend: Backend) -> None:
    backend.require(Capability.STATE_GUARD)
    paid = await pay(backend)
    report = await backend.gateway.cancel_charge(paid.reference, key=new_key())
    assert (report.status, report.captured) == (ChargeStatus.SUCCEEDED, AMOUNT.minor_units)


async def test_a_canceled_charge_stays_canceled(backend: Backend) -> None:
    backend.require(Capability.STATE_GUARD)
    created = await backend.gateway.create_charge(order_of(backend), key=new_key())
    await backend.gateway.cancel_charge(created.reference, key=new_key())
    for report in (
        await backend.gateway.cancel_charge(created.reference, key=new_key()),
        await backend.gateway.confirm_charge(created.reference, return_url=None, key=new_key()),
        await backend.gateway.look_up_charge(created.reference),
    ):
        assert (report.status, report.captured) == (ChargeStatus.CANCELED, 0)


# When the payer must do something.


async def test_an_action_is_left_to_the_processors_javascript(backend: Backend) -> None:
    report = await pay(backend, method=backend.methods.authentication)
    assert report.status is ChargeStatus.REQUIRES_ACTION
    assert report.captured == 0
    assert report.next_action is not None
    assert report.next_action.type is NextActionType.USE_SDK
    assert report.next_action.client_secret
    assert report.next_action.redirect_url is None


async def test_the_payer_is_sent_to_a_page(backend: Backend) -> None:
    backend.require(Capability.RETURN_URL)
    report = await pay(backend, method=backend.methods.authentication, return_url=RETURN_URL)
    assert report.status is ChargeStatus.REQUIRES_ACTION
    assert report.next_action is not None
    assert report.next_action.type is NextActionType.REDIRECT
    assert report.next_action.redirect_url is not None
    assert report.next_action.redirect_url.startswith("http")
    assert report.next_action.client_secret


@pytest.mark.parametrize(
    ("capture", "expected"),
    [(CaptureMethod.AUTOMATIC, ChargeStatus.SUCCEEDED), (CaptureMethod.MANUAL, ChargeStatus.AUTHORIZED)],
)
async def test_the_payment_goes_on_when_the_payer_has_acted(
    backend: Backend, capture: CaptureMethod, expected: ChargeStatus
) -> None:
    report = await pay(backend, method=backend.methods.authentication, capture=capture)
    await backend.let_the_payer(report, succeed=True)
    assert (await backend.gateway.look_up_charge(report.reference)).status is expected


async def test_a_payer_who_fails_to_authenticate_is_declined(backend: Backend) -> None:
    report = await pay(backend, method=backend.methods.authentication)
    await backend.let_the_payer(report, succeed=False)
    declined = await backend.gateway.look_up_charge(report.reference)
    assert declined.status is ChargeStatus.DECLINED
    assert declined.failure is not None
    assert declined.failure.code == "payment_intent_authentication_failure"


async def test_a_payment_that_waits_for_the_payer_can_be_canceled(backend: Backend) -> None:
    report = await pay(backend, method=backend.methods.authentication)
    assert (await backend.gateway.cancel_charge(report.reference, key=new_key())).status is ChargeStatus.CANCELED


async def test_a_repeated_confirmation_tells_what_the_charge_is_now(backend: Backend) -> None:
    """The processor keeps its first answer under the key, but the payer has acted since."""
    backend.require(Capability.IDEMPOTENCY, Capability.AUTHENTICATION)
    order, key = order_of(backend, method=backend.methods.authentication), new_key()
    created = await backend.gateway.create_charge(order, key=new_key())
    first = await backend.gateway.confirm_charge(created.reference, return_url=None, key=key)
    await backend.let_the_payer(first, succeed=True)
    again = await backend.gateway.confirm_charge(created.reference, return_url=None, key=key)
    assert (first.status, again.status) == (ChargeStatus.REQUIRES_ACTION, ChargeStatus.SUCCEEDED)
