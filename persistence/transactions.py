"""Transactions in PostgreSQL."""

from datetime import datetime

from sqlalchemy import Boolean, ColumnElement, bindparam, case, insert, select, true, update

from domain.access import Scope
from domain.ids import TransactionId
from domain.payments.transaction import Transaction
from domain.ports import StaleVersion
from persistence.connection import Connection
from persistence.rows import FAILURE_COLUMNS, Row, failure_columns
from persistence.statements import Statement, compiled
from persistence.stored_records import StoredTransaction
from persistence.tables import transactions

COLUMNS = tuple(column for column in transactions.c if column.name != "search")

# Made once: to make a statement anew each time costs more than to run it.
_c = transactions.c
CHANGING = (
    *("status", "captured", "refunded", "refund_reserved", "disputed", "fee", "fee_currency"),
    *("card_brand", "card_last4", "card_expiry_month", "card_expiry_year", "processor_reference", "processor_status"),
    *("next_action_type", "next_action_redirect_url", "next_action_client_secret", "updated_at", *FAILURE_COLUMNS),
)
_ADD = compiled(insert(transactions), [column.name for column in COLUMNS])
_of_id = select(*COLUMNS).where(_c.id == bindparam("id"))
_of_reference = select(*COLUMNS).where(_c.processor_reference == bindparam("reference"))
_BY_ID = compiled(_of_id)
_BY_REFERENCE = compiled(_of_reference)
_LOCK = compiled(_of_id.with_for_update())
_LOCK_OWN = compiled(_of_id.where(_c.user_id == bindparam("owner")).with_for_update())
_LOCK_BY_REFERENCE = compiled(_of_reference.with_for_update())
_SAVE = compiled(
    update(transactions)
    .where(_c.id == bindparam("saved_id"), _c.version == bindparam("read_version"))
    .returning(*COLUMNS),
    (*CHANGING, "version"),
)
_RESERVE = compiled(
    update(transactions)
    .where(
        _c.id == bindparam("reserved_id"),
        _c.refund_reserved + bindparam("wanted")
        <= _c.captured - case((bindparam("despite_dispute", type_=Boolean), 0), else_=_c.disputed),
    )
    .values(refund_reserved=_c.refund_reserved + bindparam("wanted"), version=_c.version + 1)
)


class SqlTransactions:
    """The repository behind `domain.ports.TransactionRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, transaction: Transaction) -> None:
        await self._connection.execute(_ADD, transaction_columns(transaction))

    async def lock(self, transaction_id: TransactionId, scope: Scope) -> Transaction | None:
        if scope.owner is None:
            return await self._one(_LOCK, id=transaction_id)
        return await self._one(_LOCK_OWN, id=transaction_id, owner=scope.owner)

    async def lock_by_reference(self, processor_reference: str) -> Transaction | None:
        return await self._one(_LOCK_BY_REFERENCE, reference=processor_reference)

    async def get(self, transaction_id: TransactionId) -> Transaction | None:
        return await self._one(_BY_ID, id=transaction_id)

    async def get_by_reference(self, processor_reference: str) -> Transaction | None:
        return await self._one(_BY_REFERENCE, reference=processor_reference)

    async def first_created_at(self) -> datetime | None:
        row = await self._connection.fetch_one(select(_c.created_at).order_by(_c.created_at).limit(1))
        first: datetime | None = None if row is None else row["created_at"]
        return first

    async def save(self, transaction: Transaction) -> Transaction:
        which = {"saved_id": transaction.id, "read_version": transaction.version}
        values = changing_columns(transaction) | {"version": transaction.version + 1}
        return saved_as(transaction, await self._connection.fetch_one(_SAVE, which | values))

    async def reserve_refund(
        self, transaction_id: TransactionId, minor_units: int, *, despite_dispute: bool = False
    ) -> bool:
        wanted = {"reserved_id": transaction_id, "wanted": minor_units, "despite_dispute": despite_dispute}
        return await self._connection.execute(_RESERVE, wanted) == 1

    async def _one(self, statement: Statement, **wanted: object) -> Transaction | None:
        row = await self._connection.fetch_one(statement, wanted)
        return transaction_of(row) if row is not None else None


def visible(scope: Scope) -> ColumnElement[bool]:
    """The condition that keeps a query inside its actor's scope."""
    return true() if scope.owner is None else transactions.c.user_id == scope.owner


def transaction_of(row: Row) -> Transaction:
    return StoredTransaction.of(row).whole()


def saved_as(transaction: Transaction, row: Row | None) -> Transaction:
    """A transaction as it was saved. Raises StaleVersion where it was not."""
    if row is None:
        raise StaleVersion(f"Transaction {transaction.id} is no longer at version {transaction.version}.")
    return transaction_of(row)


def transaction_columns(transaction: Transaction) -> dict[str, object]:
    return {
        "id": transaction.id,
        "user_id": transaction.user_id,
        "amount": transaction.money.minor_units,
        "currency": transaction.money.currency.value,
        "capture_method": transaction.capture_method.value,
        "payment_method_id": transaction.payment_method_id,
        "description": transaction.description,
        "metadata": dict(transaction.metadata),
        "return_url": transaction.return_url,
        "processor": transaction.processor,
        "created_at": transaction.created_at,
        "version": transaction.version,
        **changing_columns(transaction),
    }


def changing_columns(transaction: Transaction) -> dict[str, object]:
    card, action = transaction.payment_method, transaction.next_action
    return {
        "status": transaction.status.value,
        "captured": transaction.captured,
        "refunded": transaction.refunded,
        "refund_reserved": transaction.refund_reserved,
        "disputed": transaction.disputed,
        "fee": transaction.fee.minor_units if transaction.fee else None,
        "fee_currency": transaction.fee.currency.value if transaction.fee else None,
        "card_brand": card.brand if card else None,
        "card_last4": card.last4 if card else None,
        "card_expiry_month": card.expiry_month if card else None,
        "card_expiry_year": card.expiry_year if card else None,
        "processor_reference": transaction.processor_reference,
        "processor_status": transaction.processor_status,
        "next_action_type": action.type.value if action else None,
        "next_action_redirect_url": action.redirect_url if action else None,
        "next_action_client_secret": action.client_secret if action else None,
        "updated_at": transaction.updated_at,
        **failure_columns(transaction.failure),
    }
