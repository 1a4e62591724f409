"""Reads for lists, nodes and dataloaders. Each is one statement on a connection of its own, inside its actor's scope."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, bindparam, literal_column, not_

from domain.access import Scope
from domain.audit import AuditEntry
from domain.identity.users import User
from domain.ids import AuditEntryId, RefundId, TransactionId, UserId
from domain.payments.queries import Order, Page, PageRequest, RefundFilter, TransactionFilter
from domain.payments.refund import Refund
from domain.payments.transaction import Transaction
from persistence.batched_reader import BatchedReader, Selection, of_visible, one_of_one, owned
from persistence.paging import Keyset
from persistence.refunds import refund_of
from persistence.statements import Values
from persistence.stored_records import StoredAuditEntry, StoredTransaction, with_json_as_text
from persistence.tables import audit_entries, refunds, transactions, users
from persistence.transaction_list import (
    NEWEST_FIRST,
    TRANSACTIONS,
    cut_of,
    values_of,
    values_of_page,
)
from persistence.users import user_of

_OLDEST_REFUND_FIRST = Keyset(refunds.c.created_at, refunds.c.id, descending=False)
_NEWEST_REFUND_FIRST = Keyset(refunds.c.created_at, refunds.c.id, descending=True)
_NEWEST_REFUND_OF_ONE_FIRST = replace(_NEWEST_REFUND_FIRST, within=refunds.c.transaction_id)
_OLDEST_ENTRY_FIRST = Keyset(audit_entries.c.number, audit_entries.c.id, descending=False, unique=True)

# Written out, so that the index of those that wait is used.
_WAITING: ColumnElement[bool] = literal_column("refunds.status = 'PENDING_APPROVAL'")
_REFUNDS = Selection(
    refunds,
    tuple(refunds.c),
    refunds.c.id,
    {
        "owner": of_visible(refunds.c.transaction_id),
        "waiting": _WAITING,
        "not_waiting": not_(_WAITING),
        "transaction_id": one_of_one(refunds.c.transaction_id, "transaction_id"),
    },
    {"statuses": refunds.c.status},
)
_AUDIT_ENTRIES = Selection(
    audit_entries,
    with_json_as_text(audit_entries.c),
    audit_entries.c.id,
    {"owner": of_visible(audit_entries.c.transaction_id)},
)
_USERS = Selection(users, tuple(users.c), users.c.id, {"owner": users.c.id == bindparam("owner")})


class SqlReader(BatchedReader):
    """The reads behind `domain.payments.queries.Reader`."""

    async def transactions_by_ids(self, ids: Sequence[TransactionId], scope: Scope) -> dict[TransactionId, Transaction]:
        return await self._by_ids(ids, TRANSACTIONS, owned(scope), StoredTransaction.of)

    async def transactions(
        self, scope: Scope, where: TransactionFilter, order: Order, page: PageRequest
    ) -> Page[Transaction]:
        selection, keyset, piecewise = cut_of(scope, where, order)
        values = {**owned(scope), **values_of_page(selection, where)}
        probed = "text" if "text" in values else ""
        return await self._page(
            selection, values, keyset, page, StoredTransaction.of, piecewise=piecewise, probed=probed
        )

    async def count_transactions(self, scope: Scope, where: TransactionFilter) -> int:
        return await self._count(TRANSACTIONS, {**owned(scope), **values_of(where)})

    async def users_by_ids(self, ids: Sequence[UserId], scope: Scope) -> dict[UserId, User]:
        return await self._by_ids(ids, _USERS, owned(scope), user_of)

    async def refunds_by_ids(self, ids: Sequence[RefundId], scope: Scope) -> dict[RefundId, Refund]:
        return await self._by_ids(ids, _REFUNDS, owned(scope), refund_of)

    async def refunds(self, scope: Scope, where: RefundFilter, page: PageRequest) -> Page[Refund]:
        values = {**owned(scope), **_values_of_refunds(where)}
        by_status = where.statuses is not None and where.transaction_id is None and scope.owner is None
        keyset = _NEWEST_REFUND_FIRST if where.transaction_id is None else _NEWEST_REFUND_OF_ONE_FIRST
        piecewise = "statuses" if by_status else None
        return await self._page(_REFUNDS, values, keyset, page, refund_of, piecewise=piecewise)

    async def count_refunds(self, scope: Scope, where: RefundFilter) -> int:
        return await self._count(_REFUNDS, {**owned(scope), **_values_of_refunds(where)})

    async def refunds_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[Refund]]:
        parent = refunds.c.transaction_id
        return await self._pages_of(
            transaction_ids, parent, _REFUNDS, owned(scope), _OLDEST_REFUND_FIRST, page, refund_of
        )

    async def count_refunds_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]:
        return await self._counts_of(transaction_ids, refunds.c.transaction_id, _REFUNDS, owned(scope))

    async def audit_entries_by_ids(self, ids: Sequence[AuditEntryId], scope: Scope) -> dict[AuditEntryId, AuditEntry]:
        return await self._by_ids(ids, _AUDIT_ENTRIES, owned(scope), StoredAuditEntry.of)

    async def audit_log_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[AuditEntry]]:
        parent = audit_entries.c.transaction_id
        return await self._pages_of(
            transaction_ids, parent, _AUDIT_ENTRIES, owned(scope), _OLDEST_ENTRY_FIRST, page, StoredAuditEntry.of
        )

    async def count_audit_log_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]:
        return await self._counts_of(transaction_ids, audit_entries.c.transaction_id, _AUDIT_ENTRIES, owned(scope))

    async def transactions_of_users(
        self, user_ids: Sequence[UserId], page: PageRequest, scope: Scope
    ) -> dict[UserId, Page[Transaction]]:
        parent = transactions.c.user_id
        return await self._pages_of(
            user_ids, parent, TRANSACTIONS, owned(scope), NEWEST_FIRST, page, StoredTransaction.of
        )

    async def count_transactions_of_users(self, user_ids: Sequence[UserId], scope: Scope) -> dict[UserId, int]:
        return await self._counts_of(user_ids, transactions.c.user_id, TRANSACTIONS, owned(scope))


def _values_of_refunds(where: RefundFilter) -> Values:
    values: dict[str, object] = {}
    if where.statuses is not None:
        values["statuses"] = sorted(where.statuses)
    if where.needs_approval is not None:
        values["waiting" if where.needs_approval else "not_waiting"] = True
    if where.transaction_id is not None:
        values["transaction_id"] = where.transaction_id
    return values
