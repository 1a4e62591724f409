"""Refunds in PostgreSQL."""

from sqlalchemy import bindparam, insert, select, update

from domain.currencies import Currency
from domain.ids import RefundId, TransactionId, UserId
from domain.money import Money
from domain.payments.refund import Refund, RefundReason, RefundStatus
from persistence.connection import Connection
from persistence.rows import FAILURE_COLUMNS, Row, failure_columns, failure_of
from persistence.statements import Statement, compiled
from persistence.tables import refunds

# Made once, as the statements on transactions are.
_FIXED = ("id", "transaction_id", "amount", "currency", "reason", "requested_by", "created_at")
_CHANGING = ("status", "processor_reference", "decided_by", "decided_at", "updated_at", *FAILURE_COLUMNS)
_ADD = compiled(insert(refunds), (*_FIXED, *_CHANGING))
_BY_ID = compiled(select(refunds).where(refunds.c.id == bindparam("id")))
_BY_REFERENCE = compiled(select(refunds).where(refunds.c.processor_reference == bindparam("reference")))
_WAITING_OF = compiled(
    select(refunds)
    .where(
        refunds.c.transaction_id == bindparam("transaction_id"),
        refunds.c.status == RefundStatus.PENDING_APPROVAL.value,
    )
    .order_by(refunds.c.created_at.desc(), refunds.c.id.desc())
)
_SAVE = compiled(update(refunds).where(refunds.c.id == bindparam("saved_id")), _CHANGING)


class SqlRefunds:
    """The repository behind `domain.ports.RefundRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, refund: Refund) -> None:
        fixed = {
            "id": refund.id,
            "transaction_id": refund.transaction_id,
            "amount": refund.money.minor_units,
            "currency": refund.money.currency.value,
            "reason": refund.reason.value if refund.reason else None,
            "requested_by": refund.requested_by,
            "created_at": refund.created_at,
        }
        await self._connection.execute(_ADD, fixed | _changing_columns(refund))

    async def get(self, refund_id: RefundId) -> Refund | None:
        return await self._one(_BY_ID, id=refund_id)

    async def get_by_reference(self, processor_reference: str) -> Refund | None:
        return await self._one(_BY_REFERENCE, reference=processor_reference)

    async def save(self, refund: Refund) -> None:
        await self._connection.execute(_SAVE, {"saved_id": refund.id} | _changing_columns(refund))

    async def waiting_of(self, transaction_id: TransactionId) -> list[Refund]:
        found = await self._connection.fetch(_WAITING_OF, {"transaction_id": transaction_id})
        return [refund_of(row) for row in found]

    async def _one(self, statement: Statement, **wanted: object) -> Refund | None:
        row = await self._connection.fetch_one(statement, wanted)
        return refund_of(row) if row is not None else None


def refund_of(row: Row) -> Refund:
    return Refund(
        id=RefundId(row["id"]),
        transaction_id=TransactionId(row["transaction_id"]),
        status=RefundStatus(row["status"]),
        money=Money(row["amount"], Currency(row["currency"])),
        reason=None if row["reason"] is None else RefundReason(row["reason"]),
        requested_by=None if row["requested_by"] is None else UserId(row["requested_by"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        processor_reference=row["processor_reference"],
        decided_by=None if row["decided_by"] is None else UserId(row["decided_by"]),
        decided_at=row["decided_at"],
        failure=failure_of(row),
    )


def _changing_columns(refund: Refund) -> dict[str, object]:
    return {
        "status": refund.status.value,
        "processor_reference": refund.processor_reference,
        "decided_by": refund.decided_by,
        "decided_at": refund.decided_at,
        "updated_at": refund.updated_at,
        **failure_columns(refund.failure),
    }
