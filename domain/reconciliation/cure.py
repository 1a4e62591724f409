"""Cures what has a definite cure: the object is fetched again, and what it says now is applied, as for a webhook."""

from contextlib import suppress

from domain.audit import Origin
from domain.payments.books import Contradiction, Premature, UnknownObject
from domain.payments.gateway import RequestRejected
from domain.payments.refresh import Refresh
from domain.ports import StaleVersion
from domain.reconciliation.discrepancies import Subject, SubjectKind


class Cure:
    """Applies the processor's word. Whether that was a cure, another look has to tell."""

    def __init__(self, refresh: Refresh) -> None:
        self._refresh = refresh

    async def __call__(self, subject: Subject) -> None:
        """Apply what the processor says of a subject; what contradicts our books changes nothing, and waits for a person.

        Raises OutcomeUnknown and domain.errors.Unavailable.
        """
        with suppress(Contradiction, UnknownObject, Premature, RequestRejected, StaleVersion):
            match subject.kind:
                case SubjectKind.CHARGE:
                    await self._refresh.charge(subject.reference, Origin.RECONCILIATION)
                case SubjectKind.REFUND:
                    await self._refresh.refund(subject.reference, Origin.RECONCILIATION)
                case SubjectKind.DISPUTE:
                    await self._refresh.dispute(subject.reference, Origin.RECONCILIATION)
                case SubjectKind.LEDGER:
                    # The ledger is corrected by a person: nobody knows which of our two books is right.
                    pass
