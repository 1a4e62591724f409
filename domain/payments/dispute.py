"""A dispute: the payer's bank takes a payment back, and a procedure decides who keeps the money."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ids import DisputeId, TransactionId
from domain.money import Money


class DisputeStatus(StrEnum):
    """Where a dispute stands, in the order in which one proceeds. An inquiry only asks, and takes no money."""

    INQUIRY = "INQUIRY"
    INQUIRY_CLOSED = "INQUIRY_CLOSED"
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    UNDER_REVIEW = "UNDER_REVIEW"
    WON = "WON"
    LOST = "LOST"


OPEN = frozenset({DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW})
DECIDED = frozenset({DisputeStatus.WON, DisputeStatus.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A dispute as stored; `money` is what the bank wants back.

    `withdrawn` is what the processor has really taken from our balance for it, less what it gave back, in minor units of
    the payment's currency, and `movements` the number of times that it took or gave.
    """

    id: DisputeId
    transaction_id: TransactionId
    status: DisputeStatus
    processor_status: str
    processor_reference: str
    money: Money
    reason: str
    withdrawn: int
    movements: int
    evidence_due_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def held(self) -> int:
        """What cannot be refunded because of this dispute: it is open, or lost."""
        return self.money.minor_units if self.status in OPEN or self.status is DisputeStatus.LOST else 0

    @property
    def lost(self) -> int:
        """What is gone for good."""
        return self.withdrawn if self.status is DisputeStatus.LOST else 0
