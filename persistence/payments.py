"""Payments as they begin, in PostgreSQL: everything that belongs to one is stored in one statement."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import CTE, Insert, Table, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.audit import AuditEntry
from domain.idempotency import KeyUse
from domain.payments.attempt import Attempt
from domain.payments.transaction import Transaction
from persistence.attempts import OF_AN_ATTEMPT, STAMPS, attempt_columns
from persistence.audit import entry_columns
from persistence.connection import Connection
from persistence.keys import use_columns
from persistence.statements import compiled
from persistence.tables import attempts, audit_entries, idempotency_keys, transactions
from persistence.transactions import transaction_columns


def _all_but(table: Table, *names: str) -> list[str]:
    return [column.name for column in table.c if column.name not in names]


def _parameters(table: Table, names: Iterable[str]) -> dict[str, Any]:  # Any: columns are of several types
    return {name: bindparam(f"{table.name}_{name}", type_=table.c[name].type) for name in names}


def _row(table: Table, claimed: CTE, values: dict[str, Any]) -> Insert:  # Any: as above
    """Adds one row, where the key was claimed."""
    return insert(table).from_select(list(values), select(*values.values()).select_from(claimed))


_claimed = (
    upsert(idempotency_keys)
    .values(
        {
            **_parameters(idempotency_keys, _all_but(idempotency_keys, "created_at")),
            "created_at": func.clock_timestamp(),
        }
    )
    .on_conflict_do_nothing()
    .returning(idempotency_keys.c.key)
    .cte("claimed")
)
_transaction = _row(transactions, _claimed, _parameters(transactions, _all_but(transactions, "search"))).cte(
    "stored_transaction"
)
_attempt = _row(attempts, _claimed, {**_parameters(attempts, OF_AN_ATTEMPT), **STAMPS}).cte("stored_attempt")
_entry = _row(audit_entries, _claimed, _parameters(audit_entries, _all_but(audit_entries, "number"))).cte(
    "stored_entry"
)
_OPEN = compiled(select(func.count().label("claims")).select_from(_claimed).add_cte(_transaction, _attempt, _entry))


class SqlPayments:
    """The repository behind `domain.ports.PaymentRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self, use: KeyUse, transaction: Transaction, attempt: Attempt, entry: AuditEntry) -> bool:
        values = {
            **_prefixed(idempotency_keys, use_columns(use)),
            **_prefixed(transactions, transaction_columns(transaction)),
            **_prefixed(attempts, attempt_columns(attempt)),
            **_prefixed(audit_entries, entry_columns(entry)),
        }
        (row,) = await self._connection.fetch(_OPEN, values)
        return bool(row["claims"] == 1)


def _prefixed(table: Table, values: dict[str, object]) -> dict[str, object]:
    return {f"{table.name}_{name}": value for name, value in values.items()}
