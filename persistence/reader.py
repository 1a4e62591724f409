"""Reads for lists, nodes and dataloaders. Each is one statement on a connection of its own, inside its actor's scope."""

import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sqlalchemy import (
    ColumnElement,
    and_,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from domain.access import Scope
from domain.audit import AuditEntry
from domain.currencies import Currency
from domain.identity.users import User
from domain.ids import AuditEntryId, RefundId, TransactionId, UserId
from domain.payments.queries import (
    Order,
    OrderDirection,
    OrderField,
    Page,
    PageRequest,
    RefundFilter,
    TransactionFilter,
)
from domain.payments.refund import Refund
from domain.payments.transaction import Transaction
from persistence.attention import TRANSACTIONS_NEEDING_ATTENTION
from persistence.audit import audit_entry_of
from persistence.batched_reader import BatchedReader, among, of_visible
from persistence.paging import Keyset
from persistence.refunds import refund_of
from persistence.tables import audit_entries, refunds, transactions, users
from persistence.transactions import COLUMNS as TRANSACTION_COLUMNS
from persistence.transactions import transaction_of, visible
from persistence.users import user_of

_BIGINT_MAX = 2**63 - 1
_WORD = re.compile(r"[^\W_]+")
_ORDER_COLUMNS = {OrderField.CREATED_AT: transactions.c.created_at, OrderField.AMOUNT: transactions.c.amount}
_OLDEST_REFUND_FIRST = Keyset(refunds.c.created_at, refunds.c.id, descending=False)
_NEWEST_REFUND_FIRST = Keyset(refunds.c.created_at, refunds.c.id, descending=True)
_OLDEST_ENTRY_FIRST = Keyset(audit_entries.c.number, audit_entries.c.id, descending=False)
_NEWEST_TRANSACTION_FIRST = Keyset(transactions.c.created_at, transactions.c.id, descending=True)


class SqlReader(BatchedReader):
    """The reads behind `domain.payments.queries.Reader`."""

    async def transactions_by_ids(self, ids: Sequence[TransactionId], scope: Scope) -> dict[TransactionId, Transaction]:
        statement = select(*TRANSACTION_COLUMNS).where(visible(scope))
        return await self._by_ids(ids, transactions.c.id, statement, transaction_of)

    async def transactions(
        self, scope: Scope, where: TransactionFilter, order: Order, page: PageRequest
    ) -> Page[Transaction]:
        column = _ORDER_COLUMNS[order.field]
        keyset = Keyset(column, transactions.c.id, descending=order.direction is OrderDirection.DESC)
        statement = select(*TRANSACTION_COLUMNS).where(visible(scope), *_conditions(where))
        return await self._page(statement, keyset, page, transaction_of)

    async def count_transactions(self, scope: Scope, where: TransactionFilter) -> int:
        return await self._count(transactions, visible(scope), *_conditions(where))

    async def users_by_ids(self, ids: Sequence[UserId], scope: Scope) -> dict[UserId, User]:
        own = true() if scope.owner is None else users.c.id == scope.owner
        return await self._by_ids(ids, users.c.id, select(*users.c).where(own), user_of)

    async def refunds_by_ids(self, ids: Sequence[RefundId], scope: Scope) -> dict[RefundId, Refund]:
        c = refunds.c
        return await self._by_ids(ids, c.id, select(*c).where(of_visible(c.transaction_id, scope)), refund_of)

    async def refunds(self, scope: Scope, where: RefundFilter, page: PageRequest) -> Page[Refund]:
        statement = select(*refunds.c).where(*_refund_conditions(scope, where))
        return await self._page(statement, _NEWEST_REFUND_FIRST, page, refund_of)

    async def count_refunds(self, scope: Scope, where: RefundFilter) -> int:
        return await self._count(refunds, *_refund_conditions(scope, where))

    async def refunds_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[Refund]]:
        child = select(*refunds.c).where(of_visible(refunds.c.transaction_id, scope))
        return await self._pages_of(
            transaction_ids, refunds.c.transaction_id, child, _OLDEST_REFUND_FIRST, page, refund_of
        )

    async def count_refunds_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]:
        return await self._counts_of(transaction_ids, refunds, scope)

    async def audit_entries_by_ids(self, ids: Sequence[AuditEntryId], scope: Scope) -> dict[AuditEntryId, AuditEntry]:
        c = audit_entries.c
        return await self._by_ids(ids, c.id, select(*c).where(of_visible(c.transaction_id, scope)), audit_entry_of)

    async def audit_log_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[AuditEntry]]:
        c = audit_entries.c
        child = select(*c).where(of_visible(c.transaction_id, scope))
        return await self._pages_of(transaction_ids, c.transaction_id, child, _OLDEST_ENTRY_FIRST, page, audit_entry_of)

    async def count_audit_log_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]:
        return await self._counts_of(transaction_ids, audit_entries, scope)

    async def transactions_of_users(
        self, user_ids: Sequence[UserId], page: PageRequest, scope: Scope
    ) -> dict[UserId, Page[Transaction]]:
        child = select(*TRANSACTION_COLUMNS).where(visible(scope))
        return await self._pages_of(
            user_ids, transactions.c.user_id, child, _NEWEST_TRANSACTION_FIRST, page, transaction_of
        )

    async def count_transactions_of_users(self, user_ids: Sequence[UserId], scope: Scope) -> dict[UserId, int]:
        c = transactions.c
        statement = (
            select(c.user_id, func.count().label("number"))
            .where(among(c.user_id, user_ids), visible(scope))
            .group_by(c.user_id)
        )
        return {UserId(row["user_id"]): row["number"] for row in await self._rows(statement)}


def _refund_conditions(scope: Scope, where: RefundFilter) -> list[ColumnElement[bool]]:
    c = refunds.c
    conditions = [of_visible(c.transaction_id, scope)]
    if where.statuses is not None:
        conditions.append(c.status.in_(sorted(where.statuses)))
    if where.needs_approval is not None:
        # Written out, so that the index of those that wait is used.
        waiting: ColumnElement[bool] = literal_column("refunds.status = 'PENDING_APPROVAL'")
        conditions.append(waiting if where.needs_approval else not_(waiting))
    if where.transaction_id is not None:
        conditions.append(c.transaction_id == where.transaction_id)
    return conditions


def _conditions(where: TransactionFilter) -> list[ColumnElement[bool]]:
    c = transactions.c
    conditions: list[ColumnElement[bool]] = []
    if where.statuses is not None:
        conditions.append(c.status.in_(sorted(where.statuses)))
    if where.currencies is not None:
        conditions.append(c.currency.in_(sorted(where.currencies)))
    if where.user_id is not None:
        conditions.append(c.user_id == where.user_id)
    if where.created_from is not None:
        conditions.append(c.created_at >= where.created_from)
    if where.created_to is not None:
        conditions.append(c.created_at < where.created_to)
    if where.amount_min is not None or where.amount_max is not None:
        conditions.append(_amount_between(where.amount_min, where.amount_max))
    if where.text is not None:
        conditions.append(_matches(where.text))
    if where.needs_attention is not None:
        needing = c.id.in_(TRANSACTIONS_NEEDING_ATTENTION)
        conditions.append(needing if where.needs_attention else not_(needing))
    return conditions


def _amount_between(least: Decimal | None, most: Decimal | None) -> ColumnElement[bool]:
    """Major units mean different minor units in different currencies: one branch for each number of decimals."""
    c = transactions.c
    branches = []
    for exponent in sorted({currency.exponent for currency in Currency}):
        bounds: list[ColumnElement[bool]] = [
            c.currency.in_(sorted(currency for currency in Currency if currency.exponent == exponent))
        ]
        if least is not None:
            bounds.append(c.amount >= _minor_units(least, exponent, ROUND_CEILING))
        if most is not None:
            bounds.append(c.amount <= _minor_units(most, exponent, ROUND_FLOOR))
        branches.append(and_(*bounds))
    return or_(*branches)


def _minor_units(amount: Decimal, exponent: int, rounding: str) -> int:
    # Bounded first: an integer made of 1E+999999 takes minutes.
    bounded = max(Decimal(-_BIGINT_MAX), min(amount, Decimal(_BIGINT_MAX)))
    scaled = int(bounded.scaleb(exponent).to_integral_value(rounding))
    return max(-_BIGINT_MAX, min(scaled, _BIGINT_MAX))


def _matches(words: str) -> ColumnElement[bool]:
    """Every word must begin a word of the description or of the processor's reference, in any order and case."""
    found = _WORD.findall(words)
    if not found:
        return false()
    query = " & ".join(f"'{word}':*" for word in found)
    return transactions.c.search.bool_op("@@")(func.to_tsquery("simple", query))
