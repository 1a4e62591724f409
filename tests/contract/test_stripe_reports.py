"""How Stripe's objects read in the port's words."""

import pytest

from domain.currencies import Currency
from domain.ids import NIL
from domain.money import Money
from domain.payments.gateway import ChargeStatus, RefundReportStatus
from domain.payments.refund import RefundReason
from domain.payments.transaction import Failure, NextAction, NextActionType, PaymentMethodSummary
from gateways.stripe.reports import charge_report, refund_report
from tests.contract.stripe_wire import CARD, REFUND, TRANSACTION, charged_intent, intent, refund

ERROR = {
    "type": "card_error",
    "code": "expired_card",
    "decline_code": "expired_card",
    "message": "Your card has expired.",
}


@pytest.mark.parametrize(
    ("status", "last_error", "expected"),
    [
        ("requires_confirmation", None, ChargeStatus.UNCONFIRMED),
        ("requires_confirmation", ERROR, ChargeStatus.UNCONFIRMED),
        ("requires_payment_method", None, ChargeStatus.UNCONFIRMED),
        ("requires_payment_method", ERROR, ChargeStatus.DECLINED),
        ("requires_action", None, ChargeStatus.REQUIRES_ACTION),
        ("processing", None, ChargeStatus.PROCESSING),
        ("requires_capture", None, ChargeStatus.AUTHORIZED),
        ("succeeded", None, ChargeStatus.SUCCEEDED),
        ("canceled", None, ChargeStatus.CANCELED),
        ("a_status_of_next_year", None, ChargeStatus.PROCESSING),
        ("a_status_of_next_year", ERROR, ChargeStatus.PROCESSING),
    ],
)
def test_charge_statuses(status: str, last_error: dict[str, object] | None, expected: ChargeStatus) -> None:
    report = charge_report(intent(status, last_payment_error=last_error))
    assert report.status is expected
    assert report.processor_status == status
    assert report.reference == "pi_1"
    assert report.transaction_id == TRANSACTION
    assert report.captured == (1000 if status == "succeeded" else 0)
    failure = Failure("expired_card", "Your card has expired.", "expired_card")
    assert report.failure == (failure if expected is ChargeStatus.DECLINED else None)


def test_a_canceled_charge_keeps_the_reason_of_its_decline() -> None:
    failure = charge_report(intent("canceled", last_payment_error=ERROR)).failure
    assert failure is not None
    assert failure.code == "expired_card"


def test_an_error_without_words_still_is_a_failure() -> None:
    report = charge_report(intent("requires_payment_method", last_payment_error={}))
    assert report.status is ChargeStatus.DECLINED
    assert report.failure == Failure("unknown", "The processor gave no reason.")


def test_a_partial_capture_is_what_was_received() -> None:
    report = charge_report(intent("succeeded", amount_received=250))
    assert (report.money, report.captured) == (Money(1000, Currency.EUR), 250)


def test_the_fee_is_in_the_currency_of_settlement() -> None:
    assert charge_report(charged_intent()).fee == Money(59, Currency.EUR)
    entry = {"fee": 70, "currency": "usd"}
    assert charge_report(intent(latest_charge={"balance_transaction": entry})).fee == Money(70, Currency.USD)


@pytest.mark.parametrize(
    "charge",
    [
        None,
        "ch_1",
        {},
        {"balance_transaction": None},
        {"balance_transaction": "txn_1"},
        {"balance_transaction": {}},
        {"balance_transaction": {"fee": None, "currency": "eur"}},
        {"balance_transaction": {"fee": 59, "currency": "xxx"}},
        {"balance_transaction": {"fee": "59", "currency": "eur"}},
    ],
)
def test_a_fee_that_is_not_told_is_none(charge: object) -> None:
    assert charge_report(intent(latest_charge=charge)).fee is None


@pytest.mark.parametrize("metadata", [None, {}, [], {"order": "7"}])
def test_a_charge_that_is_not_ours_has_no_transaction(metadata: object) -> None:
    assert charge_report(intent(metadata=metadata)).transaction_id is None


@pytest.mark.parametrize("label", ["usr_" + "0" * 32, "txn_", "", 5, None])
def test_a_label_of_ours_that_says_nothing_of_ours_is_nobodys(label: object) -> None:
    assert charge_report(intent(metadata={"florin_transaction_id": label})).transaction_id == NIL
    assert refund_report(refund(metadata={"florin_refund_id": label})).refund_id == NIL


def test_a_redirect_is_shown_with_its_address() -> None:
    action = {
        "type": "redirect_to_url",
        "redirect_to_url": {"url": "https://hooks.stripe.com/3ds", "return_url": "https://a.b"},
    }
    report = charge_report(intent("requires_action", next_action=action))
    assert report.next_action == NextAction(
        NextActionType.REDIRECT, "https://hooks.stripe.com/3ds", "pi_1_secret_of_the_payer"
    )


@pytest.mark.parametrize(
    "action", [{"type": "use_stripe_sdk"}, {"type": "next_year"}, {"type": "redirect_to_url"}, None]
)
def test_any_other_action_is_left_to_stripes_javascript(action: object) -> None:
    report = charge_report(intent("requires_action", next_action=action))
    assert report.next_action == NextAction(NextActionType.USE_SDK, None, "pi_1_secret_of_the_payer")


def test_the_client_secret_is_in_no_report_that_needs_no_action() -> None:
    for status in ("requires_confirmation", "processing", "requires_capture", "succeeded", "canceled"):
        assert "secret" not in repr(charge_report(intent(status)))


@pytest.mark.parametrize(
    "holder",
    [
        {"payment_method": {"card": CARD}},
        {"payment_method": "pm_1", "latest_charge": {"payment_method_details": {"type": "card", "card": CARD}}},
        {"payment_method": None, "last_payment_error": {**ERROR, "payment_method": {"card": CARD}}},
    ],
)
def test_the_card_is_found_wherever_stripe_shows_it(holder: dict[str, object]) -> None:
    assert charge_report(intent() | holder).payment_method == PaymentMethodSummary("visa", "4242", 12, 2040)


@pytest.mark.parametrize(
    "method", [None, "pm_1", {"type": "link"}, {"type": "card", "card": {"brand": "visa"}}, {"card": "4242"}]
)
def test_no_card_that_can_be_read_is_no_summary(method: object) -> None:
    assert charge_report(intent(payment_method=method)).payment_method is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("pending", RefundReportStatus.PENDING),
        ("requires_action", RefundReportStatus.PENDING),
        ("succeeded", RefundReportStatus.SUCCEEDED),
        ("failed", RefundReportStatus.FAILED),
        ("canceled", RefundReportStatus.FAILED),
        ("a_status_of_next_year", RefundReportStatus.PENDING),
    ],
)
def test_refund_statuses(status: str, expected: RefundReportStatus) -> None:
    report = refund_report(refund(status))
    assert report.status is expected
    assert (report.reference, report.charge_reference, report.refund_id) == ("re_1", "pi_1", REFUND)
    assert (report.failure is None) == (expected is not RefundReportStatus.FAILED)


def test_a_failed_refund_says_why() -> None:
    failure = refund_report(refund("failed", failure_reason="expired_or_canceled_card")).failure
    assert failure is not None
    assert failure.code == "expired_or_canceled_card"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, None),
        ("duplicate", RefundReason.DUPLICATE),
        ("fraudulent", RefundReason.FRAUDULENT),
        ("requested_by_customer", RefundReason.REQUESTED_BY_CUSTOMER),
        ("expired_uncaptured_charge", None),
    ],
)
def test_refund_reasons(reason: str | None, expected: RefundReason | None) -> None:
    assert refund_report(refund(reason=reason)).reason is expected


def test_a_refund_made_in_the_dashboard_has_no_id_of_ours() -> None:
    assert refund_report(refund(metadata={})).refund_id is None


def test_an_expanded_payment_intent_is_named_all_the_same() -> None:
    assert refund_report(refund(payment_intent=intent())).charge_reference == "pi_1"
