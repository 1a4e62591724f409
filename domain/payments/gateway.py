"""What Florin asks of a card processor, and what the processor may answer: the port that adapters in `gateways` fill.

Three kinds of answer exist. A report is definite. `Declined` and its kin are reports too: the charge's status says so.
`RequestRejected` is definite as well: the processor did nothing and never will. `OutcomeUnknown` is everything else, and is
never taken for a failure.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.ids import RefundId, TransactionId
from domain.money import Money
from domain.payments.dispute import DisputeStatus
from domain.payments.refund import RefundReason
from domain.payments.transaction import CaptureMethod, Failure, NextAction, PaymentMethodSummary


class ChargeStatus(StrEnum):
    """Where a charge stands at the processor, in words of our own."""

    UNCONFIRMED = "UNCONFIRMED"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    SUCCEEDED = "SUCCEEDED"
    DECLINED = "DECLINED"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeReport:
    """What the processor says of a charge now. `captured` is in minor units of `money.currency`.

    `transaction_id` is the one that we sent along when we created it; None for a charge that is not ours. `settled` is what
    was captured, before the fee, in the currency in which the processor settles; None until it has told, as with the fee.
    """

    reference: str
    status: ChargeStatus
    processor_status: str
    money: Money
    captured: int
    live: bool
    transaction_id: TransactionId | None
    fee: Money | None = None
    settled: Money | None = None
    failure: Failure | None = None
    next_action: NextAction | None = None
    payment_method: PaymentMethodSummary | None = None


class RefundReportStatus(StrEnum):
    """Where a refund stands at the processor."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundReport:
    """What the processor says of a refund now. `refund_id` is the one we sent along; None when it was made elsewhere.

    `settled` is what the processor took from our balance for it, in the currency in which it settles; None until it has.
    """

    reference: str
    charge_reference: str
    status: RefundReportStatus
    money: Money
    reason: RefundReason | None
    refund_id: RefundId | None
    settled: Money | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceMovement:
    """Money that the processor took from our balance, or put back, because of a dispute.

    `amount` is negative for what was taken, positive for what was put back; `fee` comes off the balance beside it, and is
    negative for one that was given back. Both are in the currency in which the processor settles. `reference` is the
    processor's id of the movement.
    """

    reference: str
    amount: Money
    fee: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeReport:
    """What the processor says of a dispute now, with every movement of money that it has led to.

    `reason` is the processor's own word for what the payer claims. `money` is in the charge's currency.
    """

    reference: str
    charge_reference: str
    status: DisputeStatus
    processor_status: str
    money: Money
    reason: str
    live: bool
    evidence_due_at: datetime | None
    movements: tuple[BalanceMovement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeOrder:
    """What to charge."""

    transaction_id: TransactionId
    money: Money
    payment_method_id: str
    capture_method: CaptureMethod
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """What to refund."""

    refund_id: RefundId
    transaction_id: TransactionId
    charge_reference: str
    money: Money
    reason: RefundReason | None


class OutcomeUnknown(Exception):
    """No definite answer came: a timeout, a dropped connection, a 5xx, a key or an object in use. Look it up later."""


class Unreadable(OutcomeUnknown):
    """An answer came, but it lacks what the processor says it has. Another look may bring a better one, or never will."""


class RejectionKind(StrEnum):
    """What was wrong with a request that the processor rejected."""

    AMOUNT = "AMOUNT"
    CURRENCY = "CURRENCY"
    PAYMENT_METHOD = "PAYMENT_METHOD"
    ALREADY_REFUNDED = "ALREADY_REFUNDED"
    NOT_FOUND = "NOT_FOUND"
    WRONG_STATE = "WRONG_STATE"
    OTHER = "OTHER"


class RequestRejected(Exception):
    """The processor refused the request itself: definite, nothing happened, and the same request never will."""

    def __init__(self, kind: RejectionKind, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.kind = kind
        self.failure = failure


class PaymentGateway(Protocol):
    """A card processor. Every method may raise OutcomeUnknown or RequestRejected.

    `key` is the idempotency key of the call: the processor does a call with the same key at most once while it keeps keys.
    """

    async def find_payment_method(self, payment_method_id: str) -> PaymentMethodSummary | None:
        """What may be shown of a payment method; None where it is no card.

        Raises RequestRejected(PAYMENT_METHOD) only where the processor says that it does not exist.
        """
        ...

    async def create_charge(self, order: ChargeOrder, *, key: str) -> ChargeReport:
        """Create the charge unconfirmed: no money can move yet."""
        ...

    async def confirm_charge(self, reference: str, *, return_url: str | None, key: str) -> ChargeReport:
        """Confirm a created charge. A decline is a report with status DECLINED.

        Confirming one that has left the state UNCONFIRMED answers with what it is now.
        """
        ...

    async def capture_charge(self, reference: str, money: Money, *, key: str) -> ChargeReport:
        """Take `money` of an authorized charge and release the rest; a charge captured already is reported as it is."""
        ...

    async def cancel_charge(self, reference: str, *, key: str) -> ChargeReport:
        """Cancel a charge; one that cannot be canceled any more (it succeeded) is reported as it is."""
        ...

    async def look_up_charge(self, reference: str) -> ChargeReport:
        """Fetch a charge as it is now."""
        ...

    async def refund_charge(self, order: RefundOrder, *, key: str) -> RefundReport:
        """Refund captured money."""
        ...

    async def look_up_refund(self, reference: str) -> RefundReport:
        """Fetch a refund as it is now."""
        ...

    async def list_refunds(self, charge_reference: str) -> list[RefundReport]:
        """Every refund of a charge, so that one whose answer was lost can be found by the id we sent along."""
        ...

    async def look_up_dispute(self, reference: str) -> DisputeReport:
        """Fetch a dispute as it is now."""
        ...
