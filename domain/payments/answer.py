"""What an act answers: the objects as they stand, and the refusals that stand beside them."""

from dataclasses import dataclass

from domain.errors import (
    AlreadyRefunded,
    CardDeclined,
    ErrorCode,
    InvalidAmount,
    InvalidCurrency,
    InvalidPaymentMethod,
    ProcessorRefused,
    ProcessorUnavailable,
    RefundFailed,
    RefundRejected,
    Refusal,
)
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import Failure, Transaction, TransactionStatus

_REFUSAL_CLASSES: dict[ErrorCode, type[Refusal]] = {
    refusal.code: refusal
    for refusal in (AlreadyRefunded, InvalidAmount, InvalidCurrency, InvalidPaymentMethod, ProcessorRefused)
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of an act. `replayed` tells that an earlier request with the same key had done it."""

    transaction: Transaction | None = None
    refund: Refund | None = None
    refusals: tuple[Refusal, ...] = ()
    replayed: bool = False


def refusals_of_charge(transaction: Transaction) -> tuple[Refusal, ...]:
    """The refusals beside a transaction, made from its record, so that a repeated request gets the same ones."""
    if transaction.status is TransactionStatus.FAILED and transaction.failure is not None:
        return (_refusal_of(transaction.failure),)
    # `processing` is the processor's own definite word for "not yet"; without it we have had no answer at all.
    if transaction.status is TransactionStatus.PENDING and transaction.processor_status != "processing":
        return (ProcessorUnavailable(),)
    return ()


def refusals_of_refund(refund: Refund) -> tuple[Refusal, ...]:
    """The refusals beside a refund."""
    if refund.status is RefundStatus.FAILED:
        return (RefundFailed(refund.failure.message if refund.failure else None),)
    if refund.status is RefundStatus.REJECTED:
        return (RefundRejected(),)
    if refund.status is RefundStatus.PENDING and refund.processor_reference is None:
        return (ProcessorUnavailable(),)
    return ()


def _refusal_of(failure: Failure) -> Refusal:
    refusal = _REFUSAL_CLASSES.get(failure.refusal)
    if refusal is None:
        return CardDeclined(failure.message, decline_code=failure.decline_code)
    return refusal(failure.message)
