"""What every outcome leaves behind beside the changed record, a line in the audit log and journal entries, and why a report
cannot be booked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from domain.access import ActorKind
from domain.audit import AuditAction, AuditEntry, Origin
from domain.ids import AuditEntryId, JournalEntryId
from domain.ledger.entries import JournalEntry, Posting
from domain.payments.transaction import Failure, Transaction, TransactionStatus
from domain.ports import Clock, IdSource, UnitOfWork
from domain.text import JsonValue

_AUDIT_OF_STATUS: Final = {
    TransactionStatus.PENDING: AuditAction.TRANSACTION_PENDING,
    TransactionStatus.REQUIRES_ACTION: AuditAction.TRANSACTION_REQUIRES_ACTION,
    TransactionStatus.AUTHORIZED: AuditAction.TRANSACTION_AUTHORIZED,
    TransactionStatus.COMPLETED: AuditAction.TRANSACTION_COMPLETED,
    TransactionStatus.PARTIALLY_REFUNDED: AuditAction.TRANSACTION_PARTIALLY_REFUNDED,
    TransactionStatus.REFUNDED: AuditAction.TRANSACTION_REFUNDED,
    TransactionStatus.FAILED: AuditAction.TRANSACTION_FAILED,
    TransactionStatus.CANCELED: AuditAction.TRANSACTION_CANCELED,
}


class UnknownObject(Exception):
    """The report is about a charge, refund or dispute that is not ours."""


class StrayObject(UnknownObject):
    """The report carries an id that we hand out, but nothing in our books has it."""


class Contradiction(Exception):
    """The report cannot be true together with what we know: other money, another mode, or money for a failed payment."""


class Premature(Exception):
    """A refund made elsewhere cannot be booked while an undecided one of ours holds the money; it can once that is decided."""


class Books:
    """Writes a transaction's changes down, in the unit of work that makes them."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self._clock = clock
        self._ids = ids

    async def save(
        self,
        uow: UnitOfWork,
        before: Transaction,
        after: Transaction,
        origin: Origin,
        *,
        failure: Failure | None = None,
    ) -> Transaction:
        """Store a transaction where it has changed, with an audit entry where its status has."""
        if after == before:
            return before
        changed = replace(after, updated_at=self._clock.now())
        if changed.status is before.status:
            return await uow.transactions.save(changed)
        details: dict[str, JsonValue] = {"from": before.status.value, "via": origin.value}
        if changed.processor_status is not None:
            details["processorStatus"] = changed.processor_status
        if failure is not None:
            details["failureCode"] = failure.code
            details["declineCode"] = failure.decline_code
        return await uow.payments.save(changed, self._entry(changed, _AUDIT_OF_STATUS[changed.status], details))

    async def post(self, uow: UnitOfWork, transaction: Transaction, postings: Sequence[Posting]) -> None:
        """Post to the ledger; costs nothing where there is nothing to post."""
        if not postings:
            return
        now = self._clock.now()
        await uow.ledger.post(
            [
                JournalEntry(
                    id=JournalEntryId(self._ids.new()),
                    transaction_id=transaction.id,
                    kind=posting.kind,
                    source=posting.source,
                    lines=posting.lines,
                    posted_at=now,
                    refund_id=posting.refund_id,
                    dispute_id=posting.dispute_id,
                )
                for posting in postings
            ]
        )

    async def audit(
        self, uow: UnitOfWork, transaction: Transaction, action: AuditAction, details: dict[str, JsonValue]
    ) -> None:
        """Add to the audit log what the processor did."""
        await uow.audit.append(self._entry(transaction, action, details))

    def _entry(self, transaction: Transaction, action: AuditAction, details: dict[str, JsonValue]) -> AuditEntry:
        return AuditEntry(
            id=AuditEntryId(self._ids.new()),
            transaction_id=transaction.id,
            action=action,
            actor_kind=ActorKind.PROCESSOR,
            actor_id=None,
            details=details,
            at=self._clock.now(),
        )
