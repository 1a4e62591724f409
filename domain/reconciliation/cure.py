"""Cures what has a definite cure: the object is fetched again, and what it says now is applied, as for a webhook."""

from contextlib import suppress

from domain.audit import Origin
from domain.payments.books import Contradiction, Premature, UnknownObject
from domain.payments.gateway import PaymentGateway, RequestRejected
from domain.payments.outcomes import Outcomes
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import CAPTURED, UNDECIDED
from domain.ports import StaleVersion, UnitsOfWork
from domain.reconciliation.discrepancies import Subject, SubjectKind


class Cure:
    """Applies the processor's word. Whether that was a cure, another look has to tell."""

    def __init__(
        self, *, units: UnitsOfWork, gateway: PaymentGateway, runner: AttemptRunner, outcomes: Outcomes
    ) -> None:
        self._units = units
        self._gateway = gateway
        self._runner = runner
        self._outcomes = outcomes

    async def __call__(self, subject: Subject) -> None:
        """Apply what the processor says of a subject; what contradicts our books changes nothing, and waits for a person.

        Raises OutcomeUnknown and domain.errors.Unavailable.
        """
        with suppress(Contradiction, UnknownObject, Premature, RequestRejected, StaleVersion):
            match subject.kind:
                case SubjectKind.CHARGE:
                    await self._apply_charge(subject.reference)
                case SubjectKind.REFUND:
                    refund = await self._gateway.look_up_refund(subject.reference)
                    await self._catch_up(refund.charge_reference)
                    async with self._units.begin() as uow:
                        await self._outcomes.apply_refund(uow, refund, Origin.RECONCILIATION)
                case SubjectKind.DISPUTE:
                    dispute = await self._gateway.look_up_dispute(subject.reference)
                    await self._catch_up(dispute.charge_reference)
                    async with self._units.begin() as uow:
                        await self._outcomes.apply_dispute(uow, dispute, Origin.RECONCILIATION)
                case SubjectKind.LEDGER:
                    # The ledger is corrected by a person: nobody knows which of our two books is right.
                    pass

    async def _apply_charge(self, reference: str) -> None:
        async with self._units.autocommit() as uow:
            known = await uow.transactions.get_by_reference(reference)
        undecided = known is not None and known.status in UNDECIDED
        report = await self._runner.look_up_charge(reference, undecided=undecided)
        async with self._units.begin() as uow:
            await self._outcomes.apply_charge(uow, report, Origin.RECONCILIATION)

    async def _catch_up(self, charge_reference: str) -> None:
        """A charge that was refunded or disputed was captured. Where we have missed that, it comes first."""
        async with self._units.autocommit() as uow:
            known = await uow.transactions.get_by_reference(charge_reference)
        if known is None or known.status not in CAPTURED:
            await self._apply_charge(charge_reference)
