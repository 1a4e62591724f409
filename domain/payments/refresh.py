"""Fetch an object from the processor again, and apply what it says now.

A webhook event is a hint to do so, and so is a difference that reconciliation has found. What is fetched is true whatever
the hint said, and `Outcomes` never moves a transaction backwards, so that it can be done at any time, and any number of times.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from domain.audit import Origin
from domain.ids import TransactionId
from domain.payments.gateway import PaymentGateway, RequestRejected
from domain.payments.outcomes import Outcomes
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import CAPTURED, UNDECIDED, Transaction
from domain.ports import UnitOfWork, UnitsOfWork

Record: TypeAlias = Callable[[UnitOfWork, Transaction], Awaitable[None]]
"""What else is written down in the unit of work that applies the report, about the transaction that it belongs to."""


@dataclass(slots=True)
class Findings:
    """What was learned on the way; it holds however the application ends."""

    transaction_id: TransactionId | None = None


class Refresh:
    """Brings a charge, refund or dispute up to what the processor says of it now.

    `reference` is the processor's id. Each method raises what `Outcomes` raises where the report cannot be booked,
    OutcomeUnknown and RequestRejected where it cannot be fetched, and StaleVersion and Unavailable where it cannot be stored.
    """

    def __init__(
        self, *, units: UnitsOfWork, gateway: PaymentGateway, runner: AttemptRunner, outcomes: Outcomes
    ) -> None:
        self._units = units
        self._gateway = gateway
        self._runner = runner
        self._outcomes = outcomes

    async def charge(
        self, reference: str, origin: Origin, *, record: Record | None = None, findings: Findings | None = None
    ) -> None:
        # Only a charge whose id we have recorded can have been confirmed, so that an unknown one needs no fence.
        known = await self._known(reference, findings)
        report = await self._runner.look_up_charge(reference, undecided=known is not None and known.status in UNDECIDED)
        if known is None and report.transaction_id is not None and findings is not None:
            async with self._units.autocommit() as uow:
                named = await uow.transactions.get(report.transaction_id)
            findings.transaction_id = None if named is None else named.id
        async with self._units.begin() as uow:
            transaction = await self._outcomes.apply_charge(uow, report, origin)
            if record is not None:
                await record(uow, transaction)

    async def refund(
        self, reference: str, origin: Origin, *, record: Record | None = None, findings: Findings | None = None
    ) -> None:
        report = await self._gateway.look_up_refund(reference)
        await self._catch_up(report.charge_reference, origin, findings)
        async with self._units.begin() as uow:
            _, transaction = await self._outcomes.apply_refund(uow, report, origin)
            if record is not None:
                await record(uow, transaction)

    async def dispute(
        self, reference: str, origin: Origin, *, record: Record | None = None, findings: Findings | None = None
    ) -> None:
        report = await self._gateway.look_up_dispute(reference)
        await self._catch_up(report.charge_reference, origin, findings)
        async with self._units.begin() as uow:
            _, transaction = await self._outcomes.apply_dispute(uow, report, origin)
            if record is not None:
                await record(uow, transaction)

    async def _catch_up(self, charge_reference: str, origin: Origin, findings: Findings | None) -> None:
        """A charge that was refunded or disputed was captured. Where we have not heard of that yet, hear it first."""
        known = await self._known(charge_reference, findings)
        if known is not None and known.status in CAPTURED:
            return
        try:
            await self.charge(charge_reference, origin, findings=findings)
        except RequestRejected:
            # A charge of another kind than ours: the object is somebody else's, as applying it will find.
            if known is not None:
                raise

    async def _known(self, charge_reference: str, findings: Findings | None) -> Transaction | None:
        async with self._units.autocommit() as uow:
            known = await uow.transactions.get_by_reference(charge_reference)
        if findings is not None:
            findings.transaction_id = None if known is None else known.id
        return known
