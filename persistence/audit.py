"""The audit log in PostgreSQL: rows are added, never changed."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.access import ActorKind
from domain.audit import AuditAction, AuditEntry
from domain.ids import AuditEntryId, TransactionId, UserId
from persistence.rows import Row, by_value
from persistence.tables import audit_entries

_ACTIONS = by_value(AuditAction)
_ACTOR_KINDS = by_value(ActorKind)

# Made once, as the statements on transactions are.
_APPEND = insert(audit_entries)


class SqlAudit:
    """The repository behind `domain.ports.AuditRepository`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, entry: AuditEntry) -> None:
        await self._connection.execute(_APPEND, entry_columns(entry))


def entry_columns(entry: AuditEntry) -> dict[str, object]:
    return {
        "id": entry.id,
        "transaction_id": entry.transaction_id,
        "action": entry.action.value,
        "actor_kind": entry.actor_kind.value,
        "actor_id": entry.actor_id,
        "details": dict(entry.details),
        "at": entry.at,
    }


def audit_entry_of(row: Row) -> AuditEntry:
    return AuditEntry(
        id=AuditEntryId(row["id"]),
        transaction_id=None if row["transaction_id"] is None else TransactionId(row["transaction_id"]),
        action=_ACTIONS[row["action"]],
        actor_kind=_ACTOR_KINDS[row["actor_kind"]],
        actor_id=None if row["actor_id"] is None else UserId(row["actor_id"]),
        details=row["details"],
        at=row["at"],
    )
