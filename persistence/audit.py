"""The audit log in PostgreSQL: rows are added, never changed."""

from sqlalchemy import insert

from domain.audit import AuditEntry
from persistence.connection import Connection
from persistence.statements import compiled
from persistence.tables import audit_entries

# Made once, as the statements on transactions are.
_APPEND = compiled(insert(audit_entries), ("id", "transaction_id", "action", "actor_kind", "actor_id", "details", "at"))


class SqlAudit:
    """The repository behind `domain.ports.AuditRepository`."""

    def __init__(self, connection: Connection) -> None:
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
