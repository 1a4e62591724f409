"""How a dispute at the processor becomes our state: in any order, as often as it is told, and never backwards."""

from dataclasses import replace
from typing import Final

from domain.audit import AuditAction, Origin
from domain.ids import DisputeId, IdKind, encode
from domain.ledger import postings
from domain.ledger.entries import Posting
from domain.payments.books import Books, Contradiction, UnknownObject
from domain.payments.dispute import DECIDED, Dispute, DisputeStatus
from domain.payments.gateway import DisputeReport
from domain.payments.transaction import CAPTURED, Transaction
from domain.ports import Alerts, Clock, IdSource, UnitOfWork
from domain.text import JsonValue

_AUDIT_OF_STATUS: Final = {
    DisputeStatus.INQUIRY: AuditAction.DISPUTE_INQUIRY,
    DisputeStatus.INQUIRY_CLOSED: AuditAction.DISPUTE_CLOSED,
    DisputeStatus.NEEDS_RESPONSE: AuditAction.DISPUTE_OPENED,
    DisputeStatus.UNDER_REVIEW: AuditAction.DISPUTE_ANSWERED,
    DisputeStatus.WON: AuditAction.DISPUTE_WON,
    DisputeStatus.LOST: AuditAction.DISPUTE_LOST,
}
_ORDER: Final = list(DisputeStatus)


class DisputeOutcomes:
    """Applies reports to disputes inside a unit of work."""

    def __init__(self, clock: Clock, ids: IdSource, books: Books, *, alerts: Alerts, live: bool) -> None:
        self._clock = clock
        self._ids = ids
        self._books = books
        self._alerts = alerts
        self._live = live

    async def apply(self, uow: UnitOfWork, report: DisputeReport, origin: Origin) -> tuple[Dispute, Transaction]:
        """See `Outcomes.apply_dispute`."""
        transaction = await uow.transactions.lock_by_reference(report.charge_reference)
        if transaction is None:
            raise UnknownObject(f"No transaction belongs to the disputed charge {report.charge_reference}.")
        self._check(transaction, report)
        known = await uow.disputes.of_transaction(transaction.id)
        before = next((each for each in known if each.processor_reference == report.reference), None)
        after = self._next(transaction, before, report)
        if after == before:
            return after, transaction
        await (uow.disputes.add(after) if before is None else uow.disputes.save(after))
        called_for: list[Posting] = []
        for movement in report.movements:
            called_for += postings.of_dispute_movement(after, movement)
        await self._books.post(uow, transaction, [*called_for, *postings.of_dispute_decided(before, after)])
        held = sum(each.held for each in known if each.id != after.id) + after.held
        # The bank may want more than was paid, because it converts; more than was captured cannot be kept from refunds.
        disputed = min(held, transaction.captured)
        saved = await self._books.save(uow, transaction, replace(transaction, disputed=disputed), origin)
        if before is None or after.status is not before.status:
            await self._audit(uow, saved, before, after, origin)
        if disputed > transaction.disputed:
            await warn_of_double_loss(self._alerts, uow, saved)
        return after, saved

    def _check(self, transaction: Transaction, report: DisputeReport) -> None:
        if report.live is not self._live:
            raise Contradiction(f"The dispute is of {'live' if report.live else 'test'} mode, unlike this service.")
        if report.money.currency is not transaction.money.currency:
            raise Contradiction(f"The dispute is over {report.money}, the payment over {transaction.money}.")
        if transaction.status not in CAPTURED:
            raise Contradiction(f"The processor reports a dispute of a transaction that is {transaction.status}.")

    def _next(self, transaction: Transaction, before: Dispute | None, report: DisputeReport) -> Dispute:
        """The dispute that a report leads to, which is the present one where the report is behind it."""
        now = self._clock.now()
        told = Dispute(
            id=DisputeId(self._ids.new()) if before is None else before.id,
            transaction_id=transaction.id,
            status=report.status,
            processor_status=report.processor_status,
            processor_reference=report.reference,
            money=report.money,
            reason=report.reason,
            withdrawn=-sum(postings.movement_in_payment_currency(report.money, each) for each in report.movements),
            movements=len(report.movements),
            evidence_due_at=report.evidence_due_at,
            created_at=now if before is None else before.created_at,
            updated_at=now,
        )
        if before is None:
            return told
        unchanged = replace(told, updated_at=before.updated_at) == before
        return before if unchanged or _is_overtaken(before, told) else told

    async def _audit(
        self, uow: UnitOfWork, transaction: Transaction, before: Dispute | None, after: Dispute, origin: Origin
    ) -> None:
        details: dict[str, JsonValue] = {
            "disputeId": encode(IdKind.DISPUTE, after.id),
            "amountMinor": str(after.money.minor_units),
            "reason": after.reason,
            "processorReference": after.processor_reference,
            "via": origin.value,
        }
        if before is not None:
            details["from"] = before.status.value
        await self._books.audit(uow, transaction, _AUDIT_OF_STATUS[after.status], details)


async def warn_of_double_loss(alerts: Alerts, uow: UnitOfWork, transaction: Transaction) -> None:
    """Call a person where refunds and disputes together take more than was captured."""
    if not transaction.disputed or transaction.refund_reserved + transaction.disputed <= transaction.captured:
        return
    # What waits for approval was never sent, and cannot be approved while the payment is disputed.
    waiting = sum(refund.money.minor_units for refund in await uow.refunds.waiting_of(transaction.id))
    if transaction.refund_reserved - waiting + transaction.disputed > transaction.captured:
        alerts.refunded_and_disputed(transaction)


def _is_overtaken(before: Dispute, told: Dispute) -> bool:
    """Whether a report is older than what we know: the processor only ever adds movements, and a dispute only proceeds.

    A decision may be overturned, which moves the money again: so that of two decisions the one with more movements holds.
    """
    if told.movements != before.movements:
        return told.movements < before.movements
    if {before.status, told.status} <= DECIDED:
        return told.status is not before.status
    return _ORDER.index(told.status) < _ORDER.index(before.status)
