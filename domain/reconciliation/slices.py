"""Looks at one slice of time: everything that the processor lists in it, beside everything that we have of the same.

What does not agree here is a suspicion only. The two sides were read at different moments, and an object of ours may have
been made in the last second of one slice and the processor's in the first of the next. `Examination` looks at each again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.ids import IdKind, encode
from domain.payments.refund import RefundStatus
from domain.reconciliation import comparison
from domain.reconciliation.discrepancies import Subject, SubjectKind
from domain.reconciliation.own_records import OwnRecords
from domain.reconciliation.records import ProcessorRecords, Window
from domain.reconciliation.runs import Counts
from domain.reconciliation.sides import Ours, Theirs, Wanted, differences, read_ours


class TooMuch(Exception):
    """There is more in the slice than is read at a time; cut it into smaller ones."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What a slice holds: how much was compared, and what the suspicions are about.

    `under_way` are those of which nothing can be said yet, because our side changed a moment ago or is about to.
    """

    counts: Counts
    suspects: list[Subject]
    under_way: list[Subject]


class Slices:
    """Compares slices of time."""

    def __init__(self, records: ProcessorRecords, own: OwnRecords, *, account_is_ours_alone: bool) -> None:
        self._records = records
        self._own = own
        self._account_is_ours_alone = account_is_ours_alone

    async def compare(self, window: Window, *, settled_before: datetime, objects_max: int | None) -> Slice:
        """Compare a slice. Raises TooMuch, OutcomeUnknown, RequestRejected and domain.errors.Unavailable."""
        theirs, balance_entries = await self._read_theirs(window, objects_max)
        ours = await read_ours(self._own, theirs, Wanted(made_in=window), settled_before=settled_before)
        suspects: list[Subject] = []
        under_way: list[Subject] = []
        for each in differences(theirs, ours, account_is_ours_alone=self._account_is_ours_alone):
            (under_way if each.under_way else suspects).append(each.subject)
        for subject, is_under_way in _unseen(theirs, ours, window):
            (under_way if is_under_way else suspects).append(subject)
        for transaction in ours.transactions.all:
            suspects += (each.subject for each in comparison.of_ledger(transaction))
        unlabelled = (charge for charge in theirs.charges.values() if charge.transaction_id is None)
        counts = Counts(
            charges=len(theirs.charges),
            refunds=len(theirs.refunds),
            disputes=len(theirs.disputes),
            balance_entries=balance_entries,
            transactions=len(ours.transactions.all),
            foreign=sum(ours.transactions.find(charge.reference) is None for charge in unlabelled),
        )
        return Slice(counts, list(dict.fromkeys(suspects)), list(dict.fromkeys(under_way)))

    async def _read_theirs(self, window: Window, objects_max: int | None) -> tuple[Theirs, int]:
        """The processor's side of a slice, and how many balance entries told of it."""
        theirs = Theirs()
        entries: set[str] = set()

        def check_size() -> None:
            if objects_max is not None and len(theirs) + len(entries) > objects_max:
                raise TooMuch

        # A balance entry may be of an object made long before: what moved its money now is looked at now.
        for objects in (self._records.charges, self._records.refunds, self._records.disputes):
            async for dated in objects(window):
                theirs.add(dated.report)
                check_size()
        async for entry in self._records.balance_entries(window):
            entries.add(entry.reference)
            if entry.source is not None:
                theirs.add(entry.source)
            check_size()
        return theirs, len(entries)


def _unseen(theirs: Theirs, ours: Ours, window: Window) -> Iterable[tuple[Subject, bool]]:
    """What we have of the window and the processor did not list, though it must know it; and whether it is under way."""
    for transaction in ours.transactions.all:
        record = transaction.record
        if record.status not in comparison.HOLDS_MONEY or not window.holds(record.created_at):
            continue
        if record.processor_reference not in theirs.charges:
            reference = record.processor_reference or encode(IdKind.TRANSACTION, record.id)
            yield Subject(SubjectKind.CHARGE, reference), transaction.under_way
    for refund in ours.refunds.all:
        given = refund.record
        if given.status is not RefundStatus.COMPLETED or not window.holds(given.created_at):
            continue
        if given.processor_reference not in theirs.refunds:
            reference = given.processor_reference or encode(IdKind.REFUND, given.id)
            yield Subject(SubjectKind.REFUND, reference), refund.under_way
    for dispute in ours.disputes.all:
        if window.holds(dispute.record.created_at) and dispute.record.processor_reference not in theirs.disputes:
            yield Subject(SubjectKind.DISPUTE, dispute.record.processor_reference), dispute.under_way
