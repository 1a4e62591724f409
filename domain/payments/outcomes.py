"""The one place where a processor's answer becomes our state.

The request that asked, the webhook that told and the worker that looked all end here, under the transaction's row lock.
The first to arrive makes the change; the others find it made. A report is never allowed to move a transaction backwards.
"""

from dataclasses import replace
from typing import Final

from domain.access import EVERYTHING
from domain.audit import AuditAction, Origin
from domain.ids import IdKind, RefundId, encode
from domain.ledger import postings
from domain.money import Money
from domain.payments.attempt import AttemptKind
from domain.payments.books import Books, Contradiction, Premature, StrayObject, UnknownObject
from domain.payments.dispute import Dispute
from domain.payments.dispute_outcomes import DisputeOutcomes, warn_of_double_loss
from domain.payments.gateway import ChargeReport, ChargeStatus, DisputeReport, RefundReport, RefundReportStatus
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import (
    CAPTURED,
    LEGAL_EDGES,
    UNDECIDED,
    Failure,
    Transaction,
    TransactionStatus,
    status_after_refunds,
)
from domain.ports import Alerts, Clock, IdSource, UnitOfWork
from domain.text import JsonValue

_STATUS_OF_REPORT: Final = {
    ChargeStatus.REQUIRES_ACTION: TransactionStatus.REQUIRES_ACTION,
    ChargeStatus.PROCESSING: TransactionStatus.PENDING,
    ChargeStatus.AUTHORIZED: TransactionStatus.AUTHORIZED,
    ChargeStatus.SUCCEEDED: TransactionStatus.COMPLETED,
    ChargeStatus.DECLINED: TransactionStatus.FAILED,
    ChargeStatus.CANCELED: TransactionStatus.CANCELED,
}
_MONEY_MOVED: Final = frozenset({ChargeStatus.SUCCEEDED, ChargeStatus.AUTHORIZED})
_MOVES_NOTHING: Final = frozenset({ChargeStatus.UNCONFIRMED, ChargeStatus.CANCELED})
_FOLLOW_UPS: Final = frozenset({AttemptKind.CAPTURE, AttemptKind.VOID})


class Outcomes:
    """Applies reports to transactions and refunds inside a unit of work."""

    def __init__(self, clock: Clock, ids: IdSource, *, alerts: Alerts, live: bool) -> None:
        self._clock = clock
        self._ids = ids
        self._alerts = alerts
        self._live = live
        self._books = Books(clock, ids)
        self._disputes = DisputeOutcomes(clock, ids, self._books, alerts=alerts, live=live)

    async def apply_charge(self, uow: UnitOfWork, report: ChargeReport, origin: Origin) -> Transaction:
        """Bring the transaction up to what the processor says of its charge.

        Raises UnknownObject where no transaction belongs to it (StrayObject where it says that one does), Contradiction
        where both cannot be true.
        """
        transaction = await self._lock_for_charge(uow, report)
        if report.money != transaction.money:
            raise Contradiction(f"The processor's charge is over {report.money}, ours over {transaction.money}.")
        if report.live is not self._live:
            raise Contradiction(f"The charge is of {'live' if report.live else 'test'} mode, unlike this service.")
        if report.status is ChargeStatus.CANCELED and report.failure is None and transaction.status in UNDECIDED:
            # Canceled by a fence of ours, perhaps, whose reason the processor was never told.
            report = replace(report, failure=await uow.attempts.failure_of_charge(transaction.id))
        status = _next_status(transaction, report)
        changed = replace(transaction, processor_reference=report.reference)
        if _tells_of(status, report):
            changed = replace(
                changed,
                status=status,
                processor_status=report.processor_status,
                captured=max(transaction.captured, report.captured) if status in CAPTURED else transaction.captured,
                fee=report.fee or transaction.fee,
                failure=(transaction.failure or report.failure) if status is TransactionStatus.FAILED else None,
                next_action=report.next_action if status is TransactionStatus.REQUIRES_ACTION else None,
                payment_method=report.payment_method or transaction.payment_method,
            )
        await self._books.post(
            uow, transaction, postings.of_charge(transaction, changed, report.reference, report.settled)
        )
        saved = await self._books.save(uow, transaction, changed, origin, failure=changed.failure)
        if saved.status in CAPTURED or saved.status is TransactionStatus.CANCELED:
            await uow.attempts.finish_all(saved.id, _FOLLOW_UPS | {AttemptKind.CHARGE})
        elif saved.status not in UNDECIDED:
            await uow.attempts.finish_all(saved.id, frozenset({AttemptKind.CHARGE}))
        return saved

    async def fail_charge(
        self, uow: UnitOfWork, transaction: Transaction, failure: Failure, origin: Origin
    ) -> Transaction:
        """Record that no money can ever move: the processor rejected a charge before it existed, or has canceled it."""
        locked = await uow.transactions.lock(transaction.id, EVERYTHING)
        if locked is None:
            raise UnknownObject(f"Transaction {transaction.id} does not exist.")
        if locked.status not in UNDECIDED:
            return locked
        failed = replace(locked, status=TransactionStatus.FAILED, failure=failure, next_action=None)
        saved = await self._books.save(uow, locked, failed, origin, failure=failure)
        await uow.attempts.finish_all(saved.id, frozenset({AttemptKind.CHARGE}))
        return saved

    async def apply_refund(self, uow: UnitOfWork, report: RefundReport, origin: Origin) -> tuple[Refund, Transaction]:
        """Bring a refund, and with it its transaction, up to what the processor says.

        A refund that was made at the processor itself (in its dashboard) is taken into the books here.
        Raises UnknownObject or Contradiction, as `apply_charge` does, and Premature.
        """
        transaction = await uow.transactions.lock_by_reference(report.charge_reference)
        if transaction is None and report.refund_id is not None:
            raise StrayObject(f"The refund {report.reference} names an id of ours, but its charge is not ours.")
        if transaction is None:
            raise UnknownObject(f"No transaction belongs to the charge {report.charge_reference}.")
        refund = await self._find_refund(uow, report)
        if refund is None:
            refund, transaction = await self._adopt_refund(uow, transaction, report)
        if refund.transaction_id != transaction.id or refund.money != report.money:
            raise Contradiction(f"The processor's refund is over {report.money}, ours over {refund.money}.")
        if refund.processor_reference not in {None, report.reference}:
            raise Contradiction(f"The refund has two objects: {refund.processor_reference} and {report.reference}.")
        status = _next_refund_status(refund, report)
        changed = replace(
            refund,
            status=status,
            processor_reference=report.reference,
            failure=(report.failure or refund.failure) if status is RefundStatus.FAILED else None,
        )
        if changed.status is RefundStatus.PENDING and report.settled is not None:
            await self._books.post(
                uow, transaction, postings.of_refund_sent(transaction, changed, report.reference, report.settled)
            )
        return await self._settle_refund(uow, transaction, refund, changed, origin, settled=report.settled)

    async def apply_dispute(
        self, uow: UnitOfWork, report: DisputeReport, origin: Origin
    ) -> tuple[Dispute, Transaction]:
        """Bring a dispute, and with it its transaction, up to what the processor says.

        Raises UnknownObject or Contradiction, as `apply_charge` does.
        """
        return await self._disputes.apply(uow, report, origin)

    async def fail_refund(
        self, uow: UnitOfWork, refund: Refund, failure: Failure, origin: Origin
    ) -> tuple[Refund, Transaction]:
        """Record that the processor rejected a refund for good, and give its reservation back."""
        transaction = await uow.transactions.lock(refund.transaction_id, EVERYTHING)
        current = await uow.refunds.get(refund.id)
        if transaction is None or current is None:
            raise UnknownObject(f"Refund {refund.id} does not exist.")
        if current.status is not RefundStatus.PENDING:
            return current, transaction
        failed = replace(current, status=RefundStatus.FAILED, failure=failure)
        return await self._settle_refund(uow, transaction, current, failed, origin)

    async def _lock_for_charge(self, uow: UnitOfWork, report: ChargeReport) -> Transaction:
        transaction = await uow.transactions.lock_by_reference(report.reference)
        if transaction is None and report.transaction_id is not None:
            # The answer to `create` was lost, or this report overtook it: our own id in the metadata tells whose it is.
            transaction = await uow.transactions.lock(report.transaction_id, EVERYTHING)
            # While this waited for the lock, whoever held it may have recorded the very charge that was just not found.
            if transaction is not None and transaction.processor_reference not in {None, report.reference}:
                if report.status in _MOVES_NOTHING:
                    raise UnknownObject(f"The charge {report.reference} was given up for another one of ours.")
                raise Contradiction(
                    f"The transaction has two charges: {transaction.processor_reference} and {report.reference}."
                )
        if transaction is None and report.transaction_id is not None:
            raise StrayObject(f"The charge {report.reference} names a transaction of ours that does not exist.")
        if transaction is None:
            raise UnknownObject(f"No transaction belongs to the charge {report.reference}.")
        return transaction

    async def _find_refund(self, uow: UnitOfWork, report: RefundReport) -> Refund | None:
        refund = await uow.refunds.get_by_reference(report.reference)
        if refund is None and report.refund_id is not None:
            refund = await uow.refunds.get(report.refund_id)
            if refund is None:
                raise StrayObject(f"The refund {report.reference} names an id of ours that does not exist.")
        return refund

    async def _adopt_refund(
        self, uow: UnitOfWork, transaction: Transaction, report: RefundReport
    ) -> tuple[Refund, Transaction]:
        if report.money.currency is not transaction.money.currency:
            raise Contradiction(
                f"The refund {report.reference} is over {report.money}, its payment {transaction.money}."
            )
        if report.status is not RefundReportStatus.FAILED:
            transaction = await self._make_room(uow, transaction, report)
        if report.status is not RefundReportStatus.FAILED and not await uow.transactions.reserve_refund(
            transaction.id, report.money.minor_units, despite_dispute=True
        ):
            if transaction.refund_reserved > transaction.refunded:
                raise Premature(f"The refund {report.reference} of {report.money} waits for one of ours to be decided.")
            raise Contradiction(f"The refund {report.reference} of {report.money} is more than what is left to refund.")
        now = self._clock.now()
        refund = Refund(
            id=RefundId(self._ids.new()),
            transaction_id=transaction.id,
            status=RefundStatus.FAILED if report.status is RefundReportStatus.FAILED else RefundStatus.PENDING,
            money=report.money,
            reason=report.reason,
            requested_by=None,
            processor_reference=report.reference,
            failure=report.failure,
            created_at=now,
            updated_at=now,
        )
        await uow.refunds.add(refund)
        await self._books.audit(
            uow,
            transaction,
            AuditAction.REFUND_REQUESTED,
            {
                "refundId": encode(IdKind.REFUND, refund.id),
                "amountMinor": str(report.money.minor_units),
                "processorReference": report.reference,
            },
        )
        reserved = await uow.transactions.lock(transaction.id, EVERYTHING)
        if reserved is None:
            raise UnknownObject(f"Transaction {transaction.id} does not exist.")
        return refund, reserved

    async def _make_room(self, uow: UnitOfWork, transaction: Transaction, report: RefundReport) -> Transaction:
        """Reject refunds that wait for approval, the latest first, until one fits that the processor has made already.

        They were never sent, and the money that they had claimed is gone.
        """
        for waiting in await uow.refunds.waiting_of(transaction.id):
            if transaction.refund_reserved + report.money.minor_units <= transaction.captured:
                break
            now, amount = self._clock.now(), waiting.money.minor_units
            await uow.refunds.save(replace(waiting, status=RefundStatus.REJECTED, decided_at=now, updated_at=now))
            left = transaction.refund_reserved - amount
            transaction = await uow.transactions.save(replace(transaction, refund_reserved=left, updated_at=now))
            await self._books.audit(
                uow,
                transaction,
                AuditAction.REFUND_REJECTED,
                {
                    "refundId": encode(IdKind.REFUND, waiting.id),
                    "amountMinor": str(amount),
                    "gaveWayTo": report.reference,
                },
            )
        return transaction

    async def _settle_refund(
        self,
        uow: UnitOfWork,
        transaction: Transaction,
        before: Refund,
        after: Refund,
        origin: Origin,
        *,
        settled: Money | None = None,
    ) -> tuple[Refund, Transaction]:
        if after == before:
            return after, transaction
        after = replace(after, updated_at=self._clock.now())
        await uow.refunds.save(after)
        if after.status is before.status or after.status is RefundStatus.PENDING:
            return after, transaction
        await uow.attempts.finish_refund(after.id)
        await self._post_refund(uow, transaction, after, settled)
        amount = after.money.minor_units
        given_back, released = _amounts_of_change(before.status, after.status, amount)
        action = AuditAction.REFUND_COMPLETED if after.status is RefundStatus.COMPLETED else AuditAction.REFUND_FAILED
        details: dict[str, JsonValue] = {
            "refundId": encode(IdKind.REFUND, after.id),
            "amountMinor": str(amount),
            "via": origin.value,
        }
        if after.failure is not None:
            details["failureCode"] = after.failure.code
        await self._books.audit(uow, transaction, action, details)
        refunded = transaction.refunded + given_back
        changed = replace(
            transaction,
            status=status_after_refunds(transaction.captured, refunded),
            refunded=refunded,
            refund_reserved=transaction.refund_reserved - released,
        )
        saved = await self._books.save(uow, transaction, changed, origin)
        if after.status is RefundStatus.COMPLETED:
            await warn_of_double_loss(self._alerts, uow, saved)
        return after, saved

    async def _post_refund(
        self, uow: UnitOfWork, transaction: Transaction, refund: Refund, settled: Money | None
    ) -> None:
        """Post what a refund's new status calls for. The ledger leaves out what an earlier report had posted."""
        reference = refund.processor_reference or encode(IdKind.REFUND, refund.id)
        if refund.status is RefundStatus.COMPLETED:
            called_for = [
                *postings.of_refund_sent(transaction, refund, reference, settled),
                postings.of_refund_settled(transaction, refund, reference),
            ]
        else:
            called_for = postings.of_refund_failed(refund, await uow.ledger.of_refund(refund.id), reference)
        await self._books.post(uow, transaction, called_for)


def _next_status(transaction: Transaction, report: ChargeReport) -> TransactionStatus:
    """The status to which a report leads, which is the present one where the report is behind it."""
    current = transaction.status
    target = _STATUS_OF_REPORT.get(report.status, current)
    if target is TransactionStatus.CANCELED and current in UNDECIDED and report.failure is not None:
        target = TransactionStatus.FAILED
    if target is TransactionStatus.COMPLETED and current in CAPTURED:
        return current
    if target is current or (current, target) in LEGAL_EDGES:
        return target
    if current in {TransactionStatus.FAILED, TransactionStatus.CANCELED} and report.status in _MONEY_MOVED:
        raise Contradiction(f"The processor reports {report.status} for a transaction that is {current}.")
    return current


def _tells_of(status: TransactionStatus, report: ChargeReport) -> bool:
    """Whether a report describes this status; one that does not was overtaken, and what it says no longer holds."""
    told = _STATUS_OF_REPORT.get(report.status, TransactionStatus.PENDING)
    if status in CAPTURED:
        return told is TransactionStatus.COMPLETED
    return told is status or (status is TransactionStatus.FAILED and told is TransactionStatus.CANCELED)


def _next_refund_status(refund: Refund, report: RefundReport) -> RefundStatus:
    if refund.status is RefundStatus.REJECTED and report.status is not RefundReportStatus.FAILED:
        raise Contradiction(f"The processor reports {report.status} for the rejected refund {report.reference}.")
    if refund.status is RefundStatus.REJECTED:
        return refund.status
    if report.status is RefundReportStatus.FAILED:
        return RefundStatus.FAILED
    if report.status is RefundReportStatus.SUCCEEDED:
        if refund.status is RefundStatus.FAILED:
            raise Contradiction(f"The processor reports success for the failed refund {report.reference}.")
        return RefundStatus.COMPLETED
    # One that waits for approval here and is known there was sent by somebody, whose word is then no longer asked for.
    return RefundStatus.PENDING if refund.status is RefundStatus.PENDING_APPROVAL else refund.status


def _amounts_of_change(before: RefundStatus, after: RefundStatus, amount: int) -> tuple[int, int]:
    """What a refund's change adds to `refunded`, and what it takes off `refund_reserved`."""
    if after is RefundStatus.COMPLETED:
        return amount, 0
    return (-amount if before is RefundStatus.COMPLETED else 0), amount
