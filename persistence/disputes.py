"""Disputes in PostgreSQL."""

from sqlalchemy import bindparam, insert, select, update

from domain.currencies import Currency
from domain.ids import DisputeId, TransactionId
from domain.money import Money
from domain.payments.dispute import Dispute, DisputeStatus
from persistence.connection import Connection
from persistence.rows import Row
from persistence.statements import compiled
from persistence.tables import disputes

# Made once, as the statements on transactions are.
_FIXED = ("id", "transaction_id", "processor_reference", "currency", "created_at")
_CHANGING = (
    *("status", "processor_status", "amount", "reason", "withdrawn", "movements", "evidence_due_at", "updated_at"),
)
_ADD = compiled(insert(disputes), (*_FIXED, *_CHANGING))
_OF_TRANSACTION = compiled(select(disputes).where(disputes.c.transaction_id == bindparam("transaction_id")))
_SAVE = compiled(update(disputes).where(disputes.c.id == bindparam("saved_id")), _CHANGING)


class SqlDisputes:
    """The repository behind `domain.ports.DisputeRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, dispute: Dispute) -> None:
        fixed = {
            "id": dispute.id,
            "transaction_id": dispute.transaction_id,
            "processor_reference": dispute.processor_reference,
            "currency": dispute.money.currency.value,
            "created_at": dispute.created_at,
        }
        await self._connection.execute(_ADD, fixed | _changing_columns(dispute))

    async def of_transaction(self, transaction_id: TransactionId) -> list[Dispute]:
        found = await self._connection.fetch(_OF_TRANSACTION, {"transaction_id": transaction_id})
        return [dispute_of(row) for row in found]

    async def save(self, dispute: Dispute) -> None:
        await self._connection.execute(_SAVE, {"saved_id": dispute.id} | _changing_columns(dispute))


def dispute_of(row: Row) -> Dispute:
    return Dispute(
        id=DisputeId(row["id"]),
        transaction_id=TransactionId(row["transaction_id"]),
        status=DisputeStatus(row["status"]),
        processor_status=row["processor_status"],
        processor_reference=row["processor_reference"],
        money=Money(row["amount"], Currency(row["currency"])),
        reason=row["reason"],
        withdrawn=row["withdrawn"],
        movements=row["movements"],
        evidence_due_at=row["evidence_due_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _changing_columns(dispute: Dispute) -> dict[str, object]:
    return {
        "status": dispute.status.value,
        "processor_status": dispute.processor_status,
        "amount": dispute.money.minor_units,
        "reason": dispute.reason,
        "withdrawn": dispute.withdrawn,
        "movements": dispute.movements,
        "evidence_due_at": dispute.evidence_due_at,
        "updated_at": dispute.updated_at,
    }
