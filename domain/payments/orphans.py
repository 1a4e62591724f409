"""Cancel orphans: unconfirmed charges of ours that no transaction goes on with.

One is left behind where the answer to `create` was lost for longer than the processor keeps idempotency keys, so that the
next try made another. It moves no money, but it lies open at the processor until somebody cancels it.
"""

from collections import Counter
from datetime import timedelta

from domain.audit import Origin
from domain.ids import TransactionId
from domain.payments.books import Contradiction
from domain.payments.gateway import ChargeReport, ChargeStatus, OutcomeUnknown, PaymentGateway, RequestRejected
from domain.payments.outcomes import Outcomes
from domain.payments.transaction import UNDECIDED
from domain.ports import UnitsOfWork
from domain.reconciliation.records import ProcessorRecords, Window
from domain.sweeps import SweepResult, SweepRun

KEYS_GONE = timedelta(hours=25)
"""How old a charge is when it is looked at. Before that the key of its creation may still lead back to it."""

FIRST_LOOK_BACK = timedelta(days=7)
WINDOW_MAX = timedelta(hours=6)
"""How much one run reads; what is left is read by the next ones, at once."""


class OrphanSweep:
    """Looks once at each charge that was made, a day later."""

    name = "orphans"
    interval = timedelta(hours=1)

    def __init__(
        self, *, units: UnitsOfWork, gateway: PaymentGateway, records: ProcessorRecords, outcomes: Outcomes
    ) -> None:
        self._units = units
        self._gateway = gateway
        self._records = records
        self._outcomes = outcomes

    async def __call__(self, run: SweepRun) -> SweepResult:
        last = (run.started_at - KEYS_GONE).replace(microsecond=0)
        start = run.mark or last - FIRST_LOOK_BACK
        end = min(last, start + WINDOW_MAX)
        if end <= start:
            return SweepResult(mark=start)
        found: Counter[str] = Counter()
        async for dated in self._records.charges(Window(start, end)):
            report = dated.report
            if report.status is ChargeStatus.UNCONFIRMED and report.transaction_id is not None:
                found[await self._settle(report, report.transaction_id, run)] += 1
        return SweepResult(mark=end, found=found, more=end < last)

    async def _settle(self, report: ChargeReport, transaction_id: TransactionId, run: SweepRun) -> str:
        """Do what is right with an unconfirmed charge that carries an id of ours; what that was, for the log."""
        async with self._units.autocommit() as uow:
            transaction = await uow.transactions.get(transaction_id)
        if transaction is None:
            # Another installation may share the account; what is not in our books is not ours to cancel.
            return "strays"
        if transaction.processor_reference == report.reference:
            return "known"
        if transaction.processor_reference is None and transaction.status in UNDECIDED:
            return await self._adopt(report)
        try:
            # The key names the run, because the processor repeats a refusal under the same key.
            canceled = await self._gateway.cancel_charge(
                report.reference, key=f"{report.reference}:orphan:{run.started_at.isoformat()}"
            )
        except (OutcomeUnknown, RequestRejected):
            # One that cannot be canceled must not keep the others from it. It moves no money either way.
            return "not_canceled"
        return "canceled" if canceled.status is ChargeStatus.CANCELED else "not_canceled"

    async def _adopt(self, report: ChargeReport) -> str:
        """The payment is still to be made: with this charge, then, before a second one is created for it."""
        try:
            async with self._units.begin() as uow:
                await self._outcomes.apply_charge(uow, report, Origin.RECOVERY)
        except Contradiction:
            return "contradictions"
        return "adopted"
