"""A refund: money on its way back to the payer."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ids import RefundId, TransactionId, UserId
from domain.money import Money
from domain.payments.transaction import Failure


class RefundStatus(StrEnum):
    """Where a refund stands."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class RefundReason(StrEnum):
    """Why the money goes back, in the words that the processor takes."""

    DUPLICATE = "DUPLICATE"
    FRAUDULENT = "FRAUDULENT"
    REQUESTED_BY_CUSTOMER = "REQUESTED_BY_CUSTOMER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund as stored; `requested_by` is None for one that was made at the processor itself."""

    id: RefundId
    transaction_id: TransactionId
    status: RefundStatus
    money: Money
    reason: RefundReason | None
    requested_by: UserId | None
    created_at: datetime
    updated_at: datetime
    processor_reference: str | None = None
    failure: Failure | None = None
