"""Journal entries: what happened to money, as lines that add up to nothing. They are added and never changed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.currencies import Currency
from domain.ids import DisputeId, JournalEntryId, RefundId, TransactionId
from domain.ledger.accounts import Account


class EntryKind(StrEnum):
    """What happened."""

    CHARGE = "CHARGE"
    CAPTURE = "CAPTURE"
    PROCESSOR_FEE = "PROCESSOR_FEE"
    PROCESSOR_FEE_CORRECTION = "PROCESSOR_FEE_CORRECTION"
    CONVERSION = "CONVERSION"
    REFUND = "REFUND"
    REFUND_SETTLED = "REFUND_SETTLED"
    REFUND_FAILED = "REFUND_FAILED"
    DISPUTE = "DISPUTE"
    DISPUTE_WON = "DISPUTE_WON"
    DISPUTE_FEE = "DISPUTE_FEE"
    DISPUTE_LOST = "DISPUTE_LOST"
    DISPUTE_LOSS_REVERSED = "DISPUTE_LOSS_REVERSED"


class Unbalanced(ValueError):
    """The lines of an entry do not add up to zero in every currency, or there are none."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line: an amount in minor units of the account's currency, positive for a debit, negative for a credit."""

    account: Account
    minor_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """An entry to be made: what `postings` decides, before it has an id and a time. Raises Unbalanced.

    `source` names what caused it, as the processor or we do. Transaction, kind and source together are posted once.
    """

    kind: EntryKind
    source: str
    lines: tuple[LedgerEntry, ...]
    refund_id: RefundId | None = None
    dispute_id: DisputeId | None = None

    def __post_init__(self) -> None:
        check_balanced(self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """An entry as stored."""

    id: JournalEntryId
    transaction_id: TransactionId
    kind: EntryKind
    source: str
    lines: tuple[LedgerEntry, ...]
    posted_at: datetime
    refund_id: RefundId | None = None
    dispute_id: DisputeId | None = None


def sums(lines: Iterable[LedgerEntry]) -> dict[Currency, int]:
    """What lines add up to, in each currency."""
    totals: Counter[Currency] = Counter()
    for line in lines:
        totals[line.account.currency] += line.minor_units
    return dict(totals)


def check_balanced(lines: Sequence[LedgerEntry]) -> None:
    """Raise Unbalanced unless there are lines, none is over nothing, and they add up to zero in every currency."""
    if not lines:
        raise Unbalanced("An entry has at least two lines.")
    if not all(line.minor_units for line in lines):
        raise Unbalanced("A line moves some money.")
    wrong = {currency: total for currency, total in sums(lines).items() if total}
    if wrong:
        raise Unbalanced(f"The lines add up to {wrong}, not to zero.")
