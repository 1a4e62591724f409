"""The two sides of a comparison: what the processor says of some objects, and what we have of the same."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from domain.ids import RefundId, TransactionId
from domain.payments.gateway import ChargeReport, DisputeReport, RefundReport
from domain.reconciliation import comparison
from domain.reconciliation.discrepancies import Difference
from domain.reconciliation.own_records import OwnDispute, OwnRecords, OwnRefund, OwnTransaction
from domain.reconciliation.records import Window

T = TypeVar("T")


@dataclass(slots=True)
class Theirs:
    """What the processor says, each object once, in whatever lists it showed."""

    charges: dict[str, ChargeReport] = field(default_factory=dict)
    refunds: dict[str, RefundReport] = field(default_factory=dict)
    disputes: dict[str, DisputeReport] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.charges) + len(self.refunds) + len(self.disputes)

    def add(self, report: ChargeReport | RefundReport | DisputeReport) -> None:
        """Keep a report. The first one of an object stays: its own list tells more of it than a balance entry does."""
        match report:
            case ChargeReport():
                self.charges.setdefault(report.reference, report)
            case RefundReport():
                self.refunds.setdefault(report.reference, report)
            case DisputeReport():
                self.disputes.setdefault(report.reference, report)


class Known(Generic[T]):
    """Records of ours, by the processor's reference and by our own id."""

    def __init__(self, records: Sequence[T], names: Callable[[T], tuple[str | None, UUID]]) -> None:
        self.all = records
        self._by_reference: dict[str, T] = {}
        self._by_id: dict[UUID, T] = {}
        for record in records:
            reference, own_id = names(record)
            self._by_id[own_id] = record
            if reference is not None:
                self._by_reference[reference] = record

    def find(self, reference: str, own_id: UUID | None = None) -> T | None:
        """The record that has the reference or, where none has, the one with the id that the processor's label names."""
        found = self._by_reference.get(reference)
        return found if found is not None or own_id is None else self._by_id.get(own_id)


@dataclass(frozen=True, slots=True)
class Ours:
    """What we have."""

    transactions: Known[OwnTransaction]
    refunds: Known[OwnRefund]
    disputes: Known[OwnDispute]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for on our side beside what the processor's side names."""

    transactions: frozenset[TransactionId] = frozenset()
    refunds: frozenset[RefundId] = frozenset()
    references: frozenset[str] = frozenset()
    made_in: Window | None = None


async def read_ours(own: OwnRecords, theirs: Theirs, wanted: Wanted, *, settled_before: datetime) -> Ours:
    """Read our side of the processor's objects, and what else is wanted. Raises domain.errors.Unavailable."""
    refunds = await own.refunds(
        references={*theirs.refunds, *wanted.references},
        ids={*wanted.refunds, *_named(refund.refund_id for refund in theirs.refunds.values())},
        made_in=wanted.made_in,
        settled_before=settled_before,
    )
    disputes = await own.disputes(
        references={*theirs.disputes, *wanted.references}, made_in=wanted.made_in, settled_before=settled_before
    )
    transactions = await own.transactions(
        references={
            *theirs.charges,
            *(refund.charge_reference for refund in theirs.refunds.values()),
            *(dispute.charge_reference for dispute in theirs.disputes.values()),
            *wanted.references,
        },
        ids={*wanted.transactions, *_named(charge.transaction_id for charge in theirs.charges.values())},
        made_in=wanted.made_in,
        settled_before=settled_before,
    )
    return Ours(
        transactions=Known(transactions, lambda own: (own.record.processor_reference, own.record.id)),
        refunds=Known(refunds, lambda own: (own.record.processor_reference, own.record.id)),
        disputes=Known(disputes, lambda own: (own.record.processor_reference, own.record.id)),
    )


def differences(theirs: Theirs, ours: Ours, *, account_is_ours_alone: bool) -> Iterable[Difference]:
    """Where the processor's objects and ours do not agree."""
    for charge in theirs.charges.values():
        transaction = ours.transactions.find(charge.reference, charge.transaction_id)
        yield from comparison.of_charge(charge, transaction, account_is_ours_alone=account_is_ours_alone)
    for refund in theirs.refunds.values():
        yield from comparison.of_refund(
            refund,
            ours.refunds.find(refund.reference, refund.refund_id),
            ours.transactions.find(refund.charge_reference),
        )
    for dispute in theirs.disputes.values():
        yield from comparison.of_dispute(
            dispute, ours.disputes.find(dispute.reference), ours.transactions.find(dispute.charge_reference)
        )


def _named(ids: Iterable[T | None]) -> Iterable[T]:
    return (each for each in ids if each is not None)
