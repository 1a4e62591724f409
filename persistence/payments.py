"""What belongs together of a payment, stored by one statement, in PostgreSQL."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Insert, Select, Table, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.audit import AuditEntry
from domain.idempotency import KeyUse
from domain.payments.attempt import Attempt, AttemptStep
from domain.payments.gateway import ChargeReport
from domain.payments.transaction import Transaction
from persistence.attempts import HELD, LEASE_END, OF_AN_ATTEMPT, STAMPS, attempt_columns, lost
from persistence.audit import entry_columns
from persistence.connection import Connection
from persistence.keys import use_columns
from persistence.rows import failure_columns
from persistence.statements import compiled
from persistence.tables import attempts, audit_entries, idempotency_keys, transactions
from persistence.transactions import CHANGING, COLUMNS, changing_columns, saved_as, transaction_columns


def _all_but(table: Table, *names: str) -> list[str]:
    return [column.name for column in table.c if column.name not in names]


def _parameters(table: Table, names: Iterable[str]) -> dict[str, Any]:  # Any: columns are of several types
    return {name: bindparam(f"{table.name}_{name}", type_=table.c[name].type) for name in names}


def _row(table: Table, changed: CTE, values: dict[str, Any]) -> Insert:  # Any: as above
    """Adds one row, where the other statement has changed one."""
    return insert(table).from_select(list(values), select(*values.values()).select_from(changed))


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


def _recording() -> Select[*tuple[Any, ...]]:  # Any: as above
    """Where the transaction has no charge yet and the attempt is still held, both change, and else neither.

    The transaction's row is locked before the attempt's, as by whoever applies an outcome: two cannot wait for each other.
    """
    c = transactions.c
    unrecorded = (
        select(c.id)
        .where(c.id == bindparam("recorded_id"), c.processor_reference.is_(None))
        .with_for_update()
        .cte("unrecorded")
    )
    advanced = (
        update(attempts)
        .where(HELD, attempts.c.transaction_id == unrecorded.c.id)
        .values(step=AttemptStep.CONFIRM.value, lease_until=LEASE_END, **failure_columns(None))
        .returning(attempts.c.transaction_id)
        .cte("advanced")
    )
    recorded = (
        update(transactions)
        .where(c.id == advanced.c.transaction_id)
        .values(
            version=c.version + 1,
            **{name: bindparam(f"new_{name}", type_=c[name].type) for name in _OF_A_CHARGE},
        )
        .returning(c.id)
        .cte("recorded")
    )
    return select(
        select(func.count()).select_from(unrecorded).scalar_subquery().label("unrecorded"),
        select(func.count()).select_from(recorded).scalar_subquery().label("recorded"),
    )


def _saving() -> Select[*tuple[Any, ...]]:  # Any: as above
    c = transactions.c
    saved = (
        update(transactions)
        .where(c.id == bindparam("saved_id"), c.version == bindparam("read_version"))
        .values({name: bindparam(f"new_{name}", type_=c[name].type) for name in (*CHANGING, "version")})
        .returning(*COLUMNS)
        .cte("saved")
    )
    entry = _parameters(audit_entries, _all_but(audit_entries, "number"))
    return select(*saved.c).add_cte(_row(audit_entries, saved, entry).cte("stored_entry"))


_SAVE = compiled(_saving())
_OF_A_CHARGE = ("processor_reference", "processor_status", "updated_at")
_RECORD_CHARGE = compiled(_recording())


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

    async def record_charge(self, attempt: Attempt, report: ChargeReport, at: datetime) -> bool:
        values = {
            "recorded_id": attempt.transaction_id,
            "held_id": attempt.id,
            "held_tries": attempt.tries,
            "new_processor_reference": report.reference,
            "new_processor_status": report.processor_status,
            "new_updated_at": at,
        }
        (row,) = await self._connection.fetch(_RECORD_CHARGE, values)
        if row["unrecorded"] and not row["recorded"]:
            raise lost(attempt)
        return bool(row["recorded"])

    async def save(self, transaction: Transaction, entry: AuditEntry) -> Transaction:
        changed = changing_columns(transaction) | {"version": transaction.version + 1}
        values = {
            "saved_id": transaction.id,
            "read_version": transaction.version,
            **{f"new_{name}": value for name, value in changed.items()},
            **_prefixed(audit_entries, entry_columns(entry)),
        }
        return saved_as(transaction, await self._connection.fetch_one(_SAVE, values))


def _prefixed(table: Table, values: dict[str, object]) -> dict[str, object]:
    return {f"{table.name}_{name}": value for name, value in values.items()}
