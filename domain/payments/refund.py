"""A refund: money on its way back to the payer."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ids import RefundId, TransactionId, UserId
from domain.money import Money
from domain.payments.transaction import Failure


class RefundStatus(StrEnum):
    """Where a refund stands."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"


HOLDS_NOTHING = frozenset({RefundStatus.FAILED, RefundStatus.REJECTED})
"""The statuses in which a refund claims no money."""


class RefundReason(StrEnum):
    """Why the money goes back, in the words that the processor takes."""

    DUPLICATE = "DUPLICATE"
    FRAUDULENT = "FRAUDULENT"
    REQUESTED_BY_CUSTOMER = "REQUESTED_BY_CUSTOMER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund as stored; `requested_by` is None for one that was made at the processor itself.

    `decided_by` is who approved or rejected it, at `decided_at`, where somebody had to. One that was rejected without anybody
    gave way to a refund that was made at the processor.
    """

    id: RefundId
    transaction_id: TransactionId
    status: RefundStatus
    money: Money
    reason: RefundReason | None
    requested_by: UserId | None
    created_at: datetime
    updated_at: datetime
    processor_reference: str | None = None
    decided_by: UserId | None = None
    decided_at: datetime | None = None
    failure: Failure | None = None
