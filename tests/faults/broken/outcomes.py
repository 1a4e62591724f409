"""What becomes of answers: taken for final, given up on, believed when they are old."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.audit import Origin
from domain.ledger import postings
from domain.messaging.apply_webhooks import Applied, ApplyWebhooks
from domain.messaging.webhook_events import EventState, WebhookEvent
from domain.payments.attempt import Attempt, AttemptKind
from domain.payments.gateway import ChargeReport, ChargeStatus, OutcomeUnknown, RefundReport
from domain.payments.outcomes import _STATUS_OF_REPORT, Outcomes
from domain.payments.refresh import Findings
from domain.payments.runner import AttemptRunner, StepResult
from domain.payments.transaction import Failure, Transaction, TransactionStatus
from domain.ports import UnitOfWork
from tests.faults.acts import FaultyActs, as_it_is
from tests.faults.processor import FaultyGateway, Report
from tests.support.clock import SequentialIds


class EveryErrorIsFinal(AttemptRunner):
    """Takes any error of the processor for the end of the payment, and calls it failed."""

    async def _step(self, attempt: Attempt, origin: Origin, stored: Transaction | None) -> StepResult:
        try:
            return await super()._step(attempt, origin, stored)
        except OutcomeUnknown as error:
            async with self._units.begin() as uow:
                transaction = await uow.transactions.get(attempt.transaction_id)
                refund = await uow.refunds.get(attempt.refund_id) if attempt.refund_id else None
            assert transaction is not None
            failure = Failure("processor_error", str(error))
            async with self._units.begin() as uow:
                if refund is not None:
                    await self._outcomes.fail_refund(uow, refund, failure, origin)
                else:
                    await self._outcomes.fail_charge(uow, transaction, failure, origin)
            return StepResult(undecided=False, transaction=None)


class GivesUp(AttemptRunner):
    """Stops looking after the second try."""

    async def _drive(self, attempt: Attempt, origin: Origin, stored: Transaction | None) -> Transaction | None:
        written = await super()._drive(attempt, origin, stored)
        if attempt.tries >= 2:
            async with self._units.autocommit() as uow:
                await uow.attempts.finish(attempt.id)
        return written


class NoFence(AttemptRunner):
    """Calls a declined charge failed without having it canceled first."""

    async def _fence(self, reference: str, failure: Failure) -> ChargeReport:
        report = await self._gateway.look_up_charge(reference)
        return replace(report, status=ChargeStatus.CANCELED, failure=failure)


class StaleReportsApplied(Outcomes):
    """Writes down whatever a report says, however old it is."""

    async def apply_charge(self, uow: UnitOfWork, report: ChargeReport, origin: Origin) -> Transaction:
        transaction = await self._lock_for_charge(uow, report)
        status = _STATUS_OF_REPORT.get(report.status, transaction.status)
        if status is TransactionStatus.CANCELED and report.failure is not None:
            status = TransactionStatus.FAILED
        changed = replace(
            transaction,
            status=status,
            processor_reference=report.reference,
            processor_status=report.processor_status,
            captured=report.captured,
            fee=report.fee,
            failure=report.failure if status is TransactionStatus.FAILED else None,
            next_action=report.next_action,
        )
        entries = postings.of_charge(transaction, changed, report.reference, report.settled)
        await self._books.post(uow, transaction, entries)
        saved = await self._books.save(uow, transaction, changed, origin, failure=changed.failure)
        if saved.status not in {TransactionStatus.PENDING, TransactionStatus.REQUIRES_ACTION}:
            await uow.attempts.finish_all(saved.id, frozenset(AttemptKind) - {AttemptKind.REFUND})
        return saved


class _Payloads(ApplyWebhooks):
    """Applies what stood in the event when it was made, instead of asking what is true now."""

    snapshots: Mapping[str, Report]
    outcomes: Outcomes

    async def _apply(self, events: Sequence[WebhookEvent], findings: Findings) -> Applied:
        for event in events:
            report = self.snapshots[event.id]
            async with self._units.begin() as uow:
                if isinstance(report, RefundReport):
                    _, transaction = await self.outcomes.apply_refund(uow, report, Origin.WEBHOOK)
                else:
                    assert isinstance(report, ChargeReport)
                    transaction = await self.outcomes.apply_charge(uow, report, Origin.WEBHOOK)
                await uow.webhook_events.settle(
                    [event], EventState.APPLIED, None, transaction_id=transaction.id, at=self._clock.now()
                )
        return Applied(EventState.APPLIED)


def payloads_trusted(engine: AsyncEngine, processor: FaultyGateway, ids: SequentialIds) -> FaultyActs:
    """Florin that believes what stands in events, in the order in which they come."""
    acts = as_it_is(engine, processor, ids)
    acts.webhooks = webhooks = _Payloads(
        units=acts.units, refresh=acts.refresh, own=processor, clock=acts.clock, live=acts.live
    )
    webhooks.snapshots = processor.snapshots
    webhooks.outcomes = StaleReportsApplied(acts.clock, ids, alerts=acts.alerts, live=acts.live)
    return acts
