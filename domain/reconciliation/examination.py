"""Looks at one object again, on both sides: what still differs then is a difference."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.ids import IdKind, RefundId, TransactionId, decode_as
from domain.payments.gateway import PaymentGateway, RejectionKind, RequestRejected
from domain.reconciliation import comparison
from domain.reconciliation.discrepancies import Difference, DiscrepancyKind, Subject, SubjectKind
from domain.reconciliation.own_records import OwnRecords
from domain.reconciliation.sides import Ours, Theirs, Wanted, differences, read_ours


@dataclass(frozen=True, slots=True)
class Examined:
    """What does not agree now: what can be said of it, and every kind, those among them that may be a matter of time."""

    differences: list[Difference]
    kinds: frozenset[DiscrepancyKind]


class Examination:
    """Examines subjects, one at a time: the processor is asked first, so that ours is never older than its word."""

    def __init__(self, gateway: PaymentGateway, own: OwnRecords, *, account_is_ours_alone: bool) -> None:
        self._gateway = gateway
        self._own = own
        self._account_is_ours_alone = account_is_ours_alone

    async def __call__(self, subject: Subject, *, settled_before: datetime) -> Examined:
        """Raises OutcomeUnknown, RequestRejected and domain.errors.Unavailable."""
        theirs = await self._ask(subject)
        ours = await read_ours(self._own, theirs, _wanted(subject), settled_before=settled_before)
        if theirs:
            found = list(differences(theirs, ours, account_is_ours_alone=self._account_is_ours_alone))
        else:
            found = _without_processor(subject, ours)
        return Examined([each for each in found if not each.under_way], frozenset(each.kind for each in found))

    async def _ask(self, subject: Subject) -> Theirs:
        """What the processor says of the subject; empty where it knows no such object."""
        theirs = Theirs()
        if _own_id(subject) is not None:
            return theirs
        try:
            match subject.kind:
                case SubjectKind.CHARGE:
                    theirs.add(await self._gateway.look_up_charge(subject.reference))
                case SubjectKind.REFUND:
                    theirs.add(await self._gateway.look_up_refund(subject.reference))
                case SubjectKind.DISPUTE:
                    theirs.add(await self._gateway.look_up_dispute(subject.reference))
                case SubjectKind.LEDGER:
                    pass
        except RequestRejected as rejected:
            if rejected.kind is not RejectionKind.NOT_FOUND:
                raise
        return theirs


def _without_processor(subject: Subject, ours: Ours) -> list[Difference]:
    """What does not agree where the processor has no say, or knows no such object."""
    own_id = _own_id(subject)
    match subject.kind:
        case SubjectKind.CHARGE:
            return comparison.of_lost_charge(subject, ours.transactions.find(subject.reference, own_id))
        case SubjectKind.REFUND:
            return comparison.of_lost_refund(subject, ours.refunds.find(subject.reference, own_id))
        case SubjectKind.DISPUTE:
            return comparison.of_lost_dispute(subject, ours.disputes.find(subject.reference))
        case SubjectKind.LEDGER:
            own = ours.transactions.find(subject.reference, own_id)
            return [] if own is None else comparison.of_ledger(own)


def _own_id(subject: Subject) -> UUID | None:
    """Our own id, where that is what the subject is known by."""
    kind = IdKind.REFUND if subject.kind is SubjectKind.REFUND else IdKind.TRANSACTION
    return decode_as(kind, subject.reference)


def _wanted(subject: Subject) -> Wanted:
    """What of ours has to be read for a subject, beside what the processor's report names."""
    own_id = _own_id(subject)
    if own_id is None:
        return Wanted(references=frozenset({subject.reference}))
    if subject.kind is SubjectKind.REFUND:
        return Wanted(refunds=frozenset({RefundId(own_id)}))
    return Wanted(transactions=frozenset({TransactionId(own_id)}))
