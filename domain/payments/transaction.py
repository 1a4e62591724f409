"""A transaction: one act of paying, as the merchant sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.errors import ErrorCode
from domain.ids import TransactionId, UserId
from domain.money import Money
from domain.text import JsonValue


class TransactionStatus(StrEnum):
    """Where a transaction stands."""

    PENDING = "PENDING"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    AUTHORIZED = "AUTHORIZED"
    COMPLETED = "COMPLETED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


_S = TransactionStatus

# The database holds the same edges as a table and refuses any other by trigger, so that no path in the code can take one.
LEGAL_EDGES: frozenset[tuple[TransactionStatus, TransactionStatus]] = frozenset(
    {
        (_S.PENDING, _S.REQUIRES_ACTION),
        (_S.PENDING, _S.AUTHORIZED),
        (_S.PENDING, _S.COMPLETED),
        (_S.PENDING, _S.FAILED),
        (_S.PENDING, _S.CANCELED),
        # After the challenge the processor may still be working on the payment.
        (_S.REQUIRES_ACTION, _S.PENDING),
        (_S.REQUIRES_ACTION, _S.AUTHORIZED),
        (_S.REQUIRES_ACTION, _S.COMPLETED),
        (_S.REQUIRES_ACTION, _S.FAILED),
        (_S.REQUIRES_ACTION, _S.CANCELED),
        (_S.AUTHORIZED, _S.COMPLETED),
        (_S.AUTHORIZED, _S.CANCELED),
        (_S.COMPLETED, _S.PARTIALLY_REFUNDED),
        (_S.COMPLETED, _S.REFUNDED),
        (_S.PARTIALLY_REFUNDED, _S.REFUNDED),
        # A refund may fail after the processor had reported its success (Stripe: refund.failed).
        (_S.PARTIALLY_REFUNDED, _S.COMPLETED),
        (_S.REFUNDED, _S.PARTIALLY_REFUNDED),
        (_S.REFUNDED, _S.COMPLETED),
    }
)

UNDECIDED = frozenset({_S.PENDING, _S.REQUIRES_ACTION})
CAPTURED = frozenset({_S.COMPLETED, _S.PARTIALLY_REFUNDED, _S.REFUNDED})


class CaptureMethod(StrEnum):
    """When the money of a payment is taken."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"


@dataclass(frozen=True, slots=True)
class PaymentMethodSummary:
    """What may be shown of a card; the number is never known here."""

    brand: str
    last4: str
    expiry_month: int
    expiry_year: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the processor did not do it: its code, the issuer's code and a sentence for people.

    `refusal` is how the API names it, so that a repeated request gets the same error as the first.
    """

    code: str
    message: str
    decline_code: str | None = None
    retryable: bool = False
    refusal: ErrorCode = ErrorCode.CARD_DECLINED


class NextActionType(StrEnum):
    """How the payer completes the payment."""

    REDIRECT = "REDIRECT"
    USE_SDK = "USE_SDK"


@dataclass(frozen=True, slots=True)
class NextAction:
    """What the payer must do; the client secret is for the processor's own JavaScript."""

    type: NextActionType
    redirect_url: str | None
    client_secret: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction as stored. Amounts beside `money` are minor units of its currency.

    `refund_reserved` holds what refunds have claimed, completed ones included; `refunded` what has really gone back.
    """

    id: TransactionId
    user_id: UserId
    status: TransactionStatus
    money: Money
    capture_method: CaptureMethod
    payment_method_id: str
    payment_method: PaymentMethodSummary | None
    description: str | None
    metadata: Mapping[str, JsonValue]
    return_url: str | None
    processor: str
    created_at: datetime
    updated_at: datetime
    captured: int = 0
    refunded: int = 0
    refund_reserved: int = 0
    disputed: int = 0
    fee: Money | None = None
    processor_reference: str | None = None
    processor_status: str | None = None
    failure: Failure | None = None
    next_action: NextAction | None = None
    version: int = 1

    @property
    def refundable(self) -> int:
        """What a new refund may claim, in minor units."""
        return max(self.captured - self.refund_reserved - self.disputed, 0)

    def in_own_currency(self, minor_units: int) -> Money:
        return Money(minor_units, self.money.currency)


def status_after_refunds(captured: int, refunded: int) -> TransactionStatus:
    """Where a transaction stands of which so much was captured and so much has gone back, in minor units."""
    if refunded == 0:
        return TransactionStatus.COMPLETED
    return TransactionStatus.REFUNDED if refunded >= captured else TransactionStatus.PARTIALLY_REFUNDED
