"""Stripe's PaymentIntent, Refund, PaymentMethod and BalanceTransaction, told in the words of the ports.

Source of the fields: docs.stripe.com/api/payment_intents/object, .../refunds/object, .../payment_methods/object and
.../balance_transactions/object, and of the types of the last docs.stripe.com/reports/balance-transaction-types. A status
that is unknown here counts as still being worked on: it is looked up again, and never taken for an outcome.
"""

from contextlib import suppress
from uuid import UUID

import structlog

from domain.currencies import Currency
from domain.ids import IdKind, RefundId, TransactionId, decode_or_nil
from domain.money import Money
from domain.payments.gateway import ChargeReport, ChargeStatus, RefundReport, RefundReportStatus
from domain.payments.refund import RefundReason
from domain.payments.transaction import Failure, NextAction, NextActionType, PaymentMethodSummary
from gateways.stripe.errors import failure_from
from gateways.stripe.shapes import (
    Json,
    OddShape,
    mapping,
    maybe_mapping,
    maybe_reference,
    maybe_signed,
    maybe_text,
    maybe_whole,
    text,
    truth,
    whole,
)

TRANSACTION_LABEL = "florin_transaction_id"
"""The metadata that says which transaction of ours a PaymentIntent or Refund belongs to."""

REFUND_LABEL = "florin_refund_id"

_CHARGE_STATUSES = {
    "requires_payment_method": ChargeStatus.UNCONFIRMED,
    "requires_confirmation": ChargeStatus.UNCONFIRMED,
    "requires_action": ChargeStatus.REQUIRES_ACTION,
    "processing": ChargeStatus.PROCESSING,
    "requires_capture": ChargeStatus.AUTHORIZED,
    "succeeded": ChargeStatus.SUCCEEDED,
    "canceled": ChargeStatus.CANCELED,
}
_REFUND_STATUSES = {
    "pending": RefundReportStatus.PENDING,
    "requires_action": RefundReportStatus.PENDING,
    "succeeded": RefundReportStatus.SUCCEEDED,
    "failed": RefundReportStatus.FAILED,
    # A refund canceled at Stripe gives the money back to the merchant's balance, as a failed one does.
    "canceled": RefundReportStatus.FAILED,
}
_REFUND_REASONS = {reason.value.lower(): reason for reason in RefundReason}

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def charge_report(intent: Json) -> ChargeReport:
    """What a PaymentIntent says. Raises OddShape."""
    processor_status = text(intent, "status")
    if processor_status not in _CHARGE_STATUSES:
        _log.warning("processor_status_unknown", object="payment_intent", status=processor_status[:50])
    status = _CHARGE_STATUSES.get(processor_status, ChargeStatus.PROCESSING)
    last_error = maybe_mapping(intent, "last_payment_error")
    if processor_status == "requires_payment_method" and last_error is not None:
        status = ChargeStatus.DECLINED
    failed = status in {ChargeStatus.DECLINED, ChargeStatus.CANCELED}
    charge = maybe_mapping(intent, "latest_charge") or {}
    return ChargeReport(
        reference=text(intent, "id"),
        status=status,
        processor_status=processor_status,
        money=Money(whole(intent, "amount"), currency_of(intent)),
        captured=_captured(intent, status),
        live=truth(intent, "livemode"),
        transaction_id=transaction_id_of(intent),
        fee=_fee(charge),
        settled=_settled(charge),
        failure=failure_from(last_error) if failed and last_error is not None else None,
        next_action=_next_action(intent) if status is ChargeStatus.REQUIRES_ACTION else None,
        payment_method=_payment_method(intent, last_error),
    )


def refund_report(refund: Json) -> RefundReport:
    """What a Refund says. Raises OddShape."""
    processor_status = text(refund, "status")
    if processor_status not in _REFUND_STATUSES:
        _log.warning("processor_status_unknown", object="refund", status=processor_status[:50])
    status = _REFUND_STATUSES.get(processor_status, RefundReportStatus.PENDING)
    # A refund of a charge that was made without a PaymentIntent names the charge only; no charge of ours is like that.
    charge_reference = maybe_reference(refund, "payment_intent") or maybe_reference(refund, "charge")
    if charge_reference is None:
        raise OddShape("the refund names no charge")
    refund_id = _labelled(refund, IdKind.REFUND, REFUND_LABEL)
    return RefundReport(
        reference=text(refund, "id"),
        charge_reference=charge_reference,
        status=status,
        money=Money(whole(refund, "amount"), currency_of(refund)),
        reason=_REFUND_REASONS.get(maybe_text(refund, "reason") or ""),
        refund_id=None if refund_id is None else RefundId(refund_id),
        settled=_settled(refund),
        failure=_refund_failure(refund, processor_status) if status is RefundReportStatus.FAILED else None,
    )


def payment_method_summary(method: Json) -> PaymentMethodSummary | None:
    """What may be shown of a PaymentMethod; None where it is no card. Raises OddShape."""
    return _card(mapping(method.get("card"), "card")) if text(method, "type") == "card" else None


def is_ours(found: Json) -> bool:
    """Whether an object, or the source of a balance transaction, carries a label of ours, readable or not."""
    labelled = maybe_mapping(found, "source") or found
    metadata = maybe_mapping(labelled, "metadata") or {}
    return TRANSACTION_LABEL in metadata or REFUND_LABEL in metadata


def currency_of(source: Json) -> Currency:
    """The currency of an object. Raises OddShape for one that we do not know."""
    code = text(source, "currency").upper()
    try:
        return Currency(code)
    except ValueError:
        raise OddShape("the currency is unknown") from None


def _captured(intent: Json, status: ChargeStatus) -> int:
    # Only where money was taken is the field needed, and then it must not be guessed.
    if status is ChargeStatus.SUCCEEDED:
        return whole(intent, "amount_received")
    return maybe_whole(intent, "amount_received") or 0


def _labelled(source: Json, kind: IdKind, label: str) -> UUID | None:
    """The id of ours in an object's metadata; None where it has none, and nobody's id where the label says something else."""
    metadata = maybe_mapping(source, "metadata") or {}
    return decode_or_nil(kind, maybe_text(metadata, label) or "") if label in metadata else None


def transaction_id_of(labelled: Json) -> TransactionId | None:
    """The transaction of ours that an object's metadata names."""
    value = _labelled(labelled, IdKind.TRANSACTION, TRANSACTION_LABEL)
    return None if value is None else TransactionId(value)


def _fee(charge: Json) -> Money | None:
    """Stripe's fee; None until the charge has a balance transaction."""
    fee = _in_balance(charge, "fee")
    return fee if fee is not None and fee.minor_units >= 0 else None


def _settled(holder: Json) -> Money | None:
    """What a charge added to our balance before fees, or a refund took from it; None until there is a balance transaction."""
    amount = _in_balance(holder, "amount")
    return None if amount is None else Money(abs(amount.minor_units), amount.currency)


def _in_balance(holder: Json, name: str) -> Money | None:
    """An amount of the balance transaction of a charge or refund, in the currency that Stripe settles in."""
    entry = maybe_mapping(holder, "balance_transaction") or {}
    amount, code = maybe_signed(entry, name), (maybe_text(entry, "currency") or "").upper()
    return Money(amount, Currency(code)) if amount is not None and code in Currency.__members__ else None


def _next_action(intent: Json) -> NextAction | None:
    """What the payer must do. Stripe's own JavaScript can complete every kind of action, given the client secret."""
    action = maybe_mapping(intent, "next_action") or {}
    redirect = maybe_mapping(action, "redirect_to_url") or {}
    url = maybe_text(redirect, "url")
    secret = maybe_text(intent, "client_secret")
    if maybe_text(action, "type") == "redirect_to_url" and url is not None:
        return NextAction(NextActionType.REDIRECT, url, secret)
    return None if secret is None else NextAction(NextActionType.USE_SDK, None, secret)


def _payment_method(intent: Json, last_error: Json | None) -> PaymentMethodSummary | None:
    """The card: of the attached payment method, of the refused one (which Stripe detaches), or of the charge."""
    charge = maybe_mapping(intent, "latest_charge") or {}
    for holder in (
        maybe_mapping(intent, "payment_method"),
        maybe_mapping(last_error or {}, "payment_method"),
        maybe_mapping(charge, "payment_method_details"),
    ):
        card = maybe_mapping(holder or {}, "card")
        # The card is only shown: one that cannot be read must not keep the outcome of a payment unknown.
        with suppress(OddShape):
            if card is not None:
                return _card(card)
    return None


def _card(card: Json) -> PaymentMethodSummary:
    return PaymentMethodSummary(
        brand=text(card, "brand"),
        last4=text(card, "last4"),
        expiry_month=whole(card, "exp_month"),
        expiry_year=whole(card, "exp_year"),
    )


def _refund_failure(refund: Json, processor_status: str) -> Failure:
    code = maybe_text(refund, "failure_reason") or processor_status
    return Failure(code=code, message=f"The processor could not refund: {code.replace('_', ' ')}.")
