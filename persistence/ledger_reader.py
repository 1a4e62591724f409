"""Reads of the ledger. Each is one statement, and finds nothing for whoever may not read it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, cast, exists, func, select, true

from domain.access import Actor, Capability
from domain.currencies import Currency
from domain.ids import JournalEntryId, LedgerAccountId, TransactionId
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import JournalEntry
from domain.ledger.queries import AccountFilter, JournalFilter, KindTotals, Totals
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, among, seen_with
from persistence.ledger import ENTRY_COLUMNS, account_of, journal_entry_of
from persistence.paging import Keyset
from persistence.tables import journal_entries, ledger_accounts, ledger_entries

_OLDEST_ACCOUNT_FIRST = Keyset(ledger_accounts.c.created_at, ledger_accounts.c.id, descending=False)
_LATEST_ENTRY_FIRST = Keyset(journal_entries.c.posted_at, journal_entries.c.id, descending=True)
_OLDEST_ENTRY_FIRST = Keyset(journal_entries.c.posted_at, journal_entries.c.id, descending=False)


class SqlLedgerReader(BatchedReader):
    """The reads behind `domain.ledger.queries.LedgerReader`."""

    async def accounts_by_ids(self, ids: Sequence[LedgerAccountId], actor: Actor) -> dict[LedgerAccountId, Account]:
        statement = select(*ledger_accounts.c).where(seen_with(Capability.LEDGER_READ, actor))
        return await self._by_ids(ids, ledger_accounts.c.id, statement, account_of)

    async def accounts(self, actor: Actor, where: AccountFilter, page: PageRequest) -> Page[Account]:
        statement = select(*ledger_accounts.c).where(
            seen_with(Capability.LEDGER_READ, actor), *_account_conditions(where)
        )
        return await self._page(statement, _OLDEST_ACCOUNT_FIRST, page, account_of)

    async def count_accounts(self, actor: Actor, where: AccountFilter) -> int:
        return await self._count(ledger_accounts, seen_with(Capability.LEDGER_READ, actor), *_account_conditions(where))

    async def totals(
        self, ids: Sequence[LedgerAccountId], as_of: datetime | None, actor: Actor
    ) -> dict[LedgerAccountId, Totals]:
        account_id = ledger_entries.c.account_id
        statement = (
            select(account_id, *_sides())
            .where(among(account_id, ids), seen_with(Capability.LEDGER_READ, actor), _posted_by(as_of))
            .group_by(account_id)
        )
        return {
            LedgerAccountId(row["account_id"]): Totals(row["debits"], row["credits"])
            for row in await self._rows(statement)
        }

    async def trial_balance(self, as_of: datetime | None, actor: Actor) -> list[KindTotals]:
        # Summed by account first: from the index alone, and joined to as many rows as there are accounts.
        account_id = ledger_entries.c.account_id
        by_account = (
            select(account_id, *_sides())
            .where(seen_with(Capability.LEDGER_READ, actor), _posted_by(as_of))
            .group_by(account_id)
            .subquery("by_account")
        )
        kind, currency = ledger_accounts.c.kind, ledger_accounts.c.currency
        statement = (
            select(
                kind,
                currency,
                cast(func.sum(by_account.c.debits), BigInteger).label("debits"),
                cast(func.sum(by_account.c.credits), BigInteger).label("credits"),
            )
            .join(by_account, by_account.c.account_id == ledger_accounts.c.id)
            .group_by(kind, currency)
            .order_by(currency, kind)
        )
        return [
            KindTotals(AccountKind(row["kind"]), Currency(row["currency"]), Totals(row["debits"], row["credits"]))
            for row in await self._rows(statement)
        ]

    async def entries_by_ids(self, ids: Sequence[JournalEntryId], actor: Actor) -> dict[JournalEntryId, JournalEntry]:
        statement = select(*ENTRY_COLUMNS).where(seen_with(Capability.LEDGER_READ, actor))
        return await self._by_ids(ids, journal_entries.c.id, statement, journal_entry_of)

    async def entries(self, actor: Actor, where: JournalFilter, page: PageRequest) -> Page[JournalEntry]:
        statement = select(*ENTRY_COLUMNS).where(seen_with(Capability.LEDGER_READ, actor), *_entry_conditions(where))
        return await self._page(statement, _LATEST_ENTRY_FIRST, page, journal_entry_of)

    async def count_entries(self, actor: Actor, where: JournalFilter) -> int:
        return await self._count(journal_entries, seen_with(Capability.LEDGER_READ, actor), *_entry_conditions(where))

    async def entries_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, actor: Actor
    ) -> dict[TransactionId, Page[JournalEntry]]:
        child = select(*ENTRY_COLUMNS).where(seen_with(Capability.LEDGER_READ, actor))
        parent = journal_entries.c.transaction_id
        return await self._pages_of(transaction_ids, parent, child, _OLDEST_ENTRY_FIRST, page, journal_entry_of)

    async def count_entries_of(
        self, transaction_ids: Sequence[TransactionId], actor: Actor
    ) -> dict[TransactionId, int]:
        return await self._counts_of(transaction_ids, journal_entries, actor.scope_of(Capability.LEDGER_READ))


def _sides() -> tuple[ColumnElement[Any], ColumnElement[Any]]:  # Any: the labels' type is not told
    """Debits and credits as positive sums. BIGINT holds them: PostgreSQL's own sum of BIGINT would be a NUMERIC."""
    amount = ledger_entries.c.amount
    debits = func.coalesce(func.sum(case((amount > 0, amount))), 0)
    credits_ = func.coalesce(func.sum(case((amount < 0, -amount))), 0)
    return cast(debits, BigInteger).label("debits"), cast(credits_, BigInteger).label("credits")


def _posted_by(as_of: datetime | None) -> ColumnElement[bool]:
    return true() if as_of is None else ledger_entries.c.posted_at <= as_of


def _account_conditions(where: AccountFilter) -> list[ColumnElement[bool]]:
    c = ledger_accounts.c
    conditions: list[ColumnElement[bool]] = []
    if where.kinds is not None:
        conditions.append(c.kind.in_(sorted(where.kinds)))
    if where.currencies is not None:
        conditions.append(c.currency.in_(sorted(where.currencies)))
    if where.user_id is not None:
        conditions.append(c.user_id == where.user_id)
    return conditions


def _entry_conditions(where: JournalFilter) -> list[ColumnElement[bool]]:
    c = journal_entries.c
    conditions: list[ColumnElement[bool]] = []
    if where.transaction_id is not None:
        conditions.append(c.transaction_id == where.transaction_id)
    if where.account_id is not None:
        line = ledger_entries.c
        conditions.append(exists().where(line.entry_id == c.id, line.account_id == where.account_id))
    if where.posted_from is not None:
        conditions.append(c.posted_at >= where.posted_from)
    if where.posted_to is not None:
        conditions.append(c.posted_at < where.posted_to)
    if where.as_of is not None:
        conditions.append(c.posted_at <= where.as_of)
    return conditions
