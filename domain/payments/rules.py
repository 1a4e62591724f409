"""What may be done with a transaction, and by whom: the acts refuse by these rules, and the API previews by the same ones.

Nothing here reads or writes. Each rule answers with the money that would move, or raises Forbidden or a Refusal.
"""

from domain.access import Actor, Capability
from domain.errors import (
    AlreadyRefunded,
    InvalidAmount,
    InvalidCurrency,
    NotCapturable,
    NotRefundable,
    NotVoidable,
    RefundExceedsRemaining,
    Refusal,
)
from domain.money import Money, MoneyError
from domain.payments.transaction import CAPTURED, Transaction, TransactionStatus

_VOIDABLE = frozenset({TransactionStatus.PENDING, TransactionStatus.REQUIRES_ACTION, TransactionStatus.AUTHORIZED})
_TRANSACTION = ("input", "transactionId")
_MONEY = ("input", "money")


def check_may_follow_up(actor: Actor) -> None:
    """Raise Forbidden unless the actor may capture and void: both are the merchant's decision."""
    actor.require(Capability.PAYMENTS_CAPTURE)


def check_capture(transaction: Transaction, money: Money | None, *, follow_up_open: bool = False) -> Money:
    """What a capture would take: all that is authorized where `money` is None.

    `follow_up_open` tells that another capture or void of the transaction is not decided yet, which the act finds out by
    trying to be the only one.
    Raises NotCapturable, InvalidCurrency or InvalidAmount.
    """
    if transaction.status is not TransactionStatus.AUTHORIZED:
        raise NotCapturable(f"The transaction is {transaction.status}.", path=_TRANSACTION)
    if money is not None:
        if money.currency is not transaction.money.currency:
            raise InvalidCurrency(f"The payment was authorized in {transaction.money.currency}.", path=_MONEY)
        _check_payable(money)
        if money.minor_units > transaction.money.minor_units:
            raise InvalidAmount(f"At most {transaction.money} is authorized.", path=_MONEY)
    if follow_up_open:
        raise on_its_way(NotCapturable)
    return money or transaction.money


def check_void(transaction: Transaction, *, follow_up_open: bool = False) -> None:
    """Raise NotVoidable unless the transaction can be called off; `follow_up_open` is as for a capture."""
    if transaction.status not in _VOIDABLE or transaction.processor_reference is None:
        raise NotVoidable(f"The transaction is {transaction.status}.", path=_TRANSACTION)
    if follow_up_open:
        raise on_its_way(NotVoidable)


def check_refund(transaction: Transaction, money: Money | None) -> Money:
    """What a refund would give back: all that is left where `money` is None.

    Raises InvalidCurrency, InvalidAmount, AlreadyRefunded, NotRefundable or RefundExceedsRemaining.
    """
    if money is not None:
        if money.currency is not transaction.money.currency:
            raise InvalidCurrency(
                f"The payment was made in {transaction.money.currency}; it is refunded in the same currency.",
                path=_MONEY,
            )
        _check_payable(money)
    if transaction.status is TransactionStatus.REFUNDED:
        raise AlreadyRefunded(path=_TRANSACTION)
    if transaction.status not in CAPTURED:
        raise NotRefundable(
            f"A transaction that is {transaction.status} holds no captured money to refund.", path=_TRANSACTION
        )
    if transaction.disputed:
        raise NotRefundable("The payment is disputed; the dispute decides about its money.", path=_TRANSACTION)
    wanted = money or transaction.in_own_currency(transaction.refundable)
    if not 0 < wanted.minor_units <= transaction.refundable:
        raise exceeds_remaining(transaction)
    return wanted


def on_its_way(refusal: type[NotCapturable | NotVoidable]) -> Refusal:
    """The refusal of a capture or void that is not the only one."""
    return refusal("Another capture or void of this transaction is on its way.", path=_TRANSACTION)


def exceeds_remaining(transaction: Transaction) -> RefundExceedsRemaining:
    """The refusal of a refund for which not so much is left."""
    left = transaction.in_own_currency(transaction.refundable)
    return RefundExceedsRemaining(f"At most {left} is left to refund.", path=_MONEY, max_refundable=left)


def _check_payable(money: Money) -> None:
    try:
        money.check_payable()
    except MoneyError as error:
        raise InvalidAmount(str(error), path=_MONEY) from error
