"""Reads of the ledger. Each is one statement, and finds nothing for whoever may not read it."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, any_, bindparam, case, cast, exists, func, select

from domain.access import Actor, Capability
from domain.currencies import Currency
from domain.ids import JournalEntryId, LedgerAccountId, TransactionId
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import JournalEntry
from domain.ledger.queries import AccountFilter, JournalFilter, KindTotals, Totals
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, Selection, array, of_visible, owned, seen_with
from persistence.ledger import ENTRY_COLUMNS, account_of, journal_entry_of
from persistence.paging import Keyset
from persistence.statements import Statement, Values
from persistence.tables import journal_entries, ledger_accounts, ledger_entries

_OLDEST_ACCOUNT_FIRST = Keyset(ledger_accounts.c.created_at, ledger_accounts.c.id, descending=False)
_LATEST_ENTRY_FIRST = Keyset(journal_entries.c.posted_at, journal_entries.c.id, descending=True)
_OLDEST_ENTRY_FIRST = Keyset(journal_entries.c.posted_at, journal_entries.c.id, descending=False)


def _sides() -> tuple[ColumnElement[Any], ColumnElement[Any]]:  # Any: the labels' type is not told
    """Debits and credits as positive sums. BIGINT holds them: PostgreSQL's own sum of BIGINT would be a NUMERIC."""
    amount = ledger_entries.c.amount
    debits = func.coalesce(func.sum(case((amount > 0, amount))), 0)
    credits_ = func.coalesce(func.sum(case((amount < 0, -amount))), 0)
    return cast(debits, BigInteger).label("debits"), cast(credits_, BigInteger).label("credits")


_account, _entry, _line = ledger_accounts.c, journal_entries.c, ledger_entries.c
_ACCOUNTS = Selection(
    ledger_accounts,
    tuple(_account),
    _account.id,
    {
        "user_id": _account.user_id == bindparam("user_id"),
    },
    {"kinds": _account.kind, "currencies": _account.currency},
)
_ENTRIES = Selection(
    journal_entries,
    ENTRY_COLUMNS,
    _entry.id,
    {
        "owner": of_visible(_entry.transaction_id),
        "transaction_id": _entry.transaction_id == bindparam("transaction_id"),
        "account_id": exists().where(_line.entry_id == _entry.id, _line.account_id == bindparam("account_id")),
        "posted_from": _entry.posted_at >= bindparam("posted_from"),
        "posted_to": _entry.posted_at < bindparam("posted_to"),
        "as_of": _entry.posted_at <= bindparam("as_of"),
    },
)
_LINES = Selection(
    ledger_entries,
    (_line.account_id, *_sides()),
    _line.account_id,
    {
        "account_ids": _line.account_id == any_(array("account_ids")),
        "as_of": _line.posted_at <= bindparam("as_of"),
    },
)


class SqlLedgerReader(BatchedReader):
    """The reads behind `domain.ledger.queries.LedgerReader`."""

    async def accounts_by_ids(self, ids: Sequence[LedgerAccountId], actor: Actor) -> dict[LedgerAccountId, Account]:
        return await self._by_ids(ids, _ACCOUNTS, _seen(actor), account_of)

    async def accounts(self, actor: Actor, where: AccountFilter, page: PageRequest) -> Page[Account]:
        values = {**_seen(actor), **_values_of_accounts(where)}
        return await self._page(_ACCOUNTS, values, _OLDEST_ACCOUNT_FIRST, page, account_of)

    async def count_accounts(self, actor: Actor, where: AccountFilter) -> int:
        return await self._count(_ACCOUNTS, {**_seen(actor), **_values_of_accounts(where)})

    async def totals(
        self, ids: Sequence[LedgerAccountId], as_of: datetime | None, actor: Actor
    ) -> dict[LedgerAccountId, Totals]:
        values = {**_seen(actor), **_posted_by(as_of), "account_ids": ids}
        return {
            LedgerAccountId(row["account_id"]): Totals(row["debits"], row["credits"])
            for row in await self._rows(_totals_statement(frozenset(values)), values)
        }

    async def trial_balance(self, as_of: datetime | None, actor: Actor) -> list[KindTotals]:
        values = {**_seen(actor), **_posted_by(as_of)}
        return [
            KindTotals(AccountKind(row["kind"]), Currency(row["currency"]), Totals(row["debits"], row["credits"]))
            for row in await self._rows(_trial_balance_statement(frozenset(values)), values)
        ]

    async def entries_by_ids(self, ids: Sequence[JournalEntryId], actor: Actor) -> dict[JournalEntryId, JournalEntry]:
        return await self._by_ids(ids, _ENTRIES, _seen(actor), journal_entry_of)

    async def entries(self, actor: Actor, where: JournalFilter, page: PageRequest) -> Page[JournalEntry]:
        values = {**_seen(actor), **_values_of_entries(where)}
        return await self._page(_ENTRIES, values, _LATEST_ENTRY_FIRST, page, journal_entry_of)

    async def count_entries(self, actor: Actor, where: JournalFilter) -> int:
        return await self._count(_ENTRIES, {**_seen(actor), **_values_of_entries(where)})

    async def entries_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, actor: Actor
    ) -> dict[TransactionId, Page[JournalEntry]]:
        return await self._pages_of(
            transaction_ids, _entry.transaction_id, _ENTRIES, _seen(actor), _OLDEST_ENTRY_FIRST, page, journal_entry_of
        )

    async def count_entries_of(
        self, transaction_ids: Sequence[TransactionId], actor: Actor
    ) -> dict[TransactionId, int]:
        values = owned(actor.scope_of(Capability.LEDGER_READ))
        return await self._counts_of(transaction_ids, _entry.transaction_id, _ENTRIES, values)


@cache
def _totals_statement(names: frozenset[str]) -> Statement:
    return _LINES.compiled(_LINES.where(names).group_by(_line.account_id), names)


@cache
def _trial_balance_statement(names: frozenset[str]) -> Statement:
    # Summed by account first: from the index alone, and joined to as many rows as there are accounts.
    by_account = _LINES.where(names).group_by(_line.account_id).subquery("by_account")
    kind, currency = _account.kind, _account.currency
    statement = (
        select(
            kind,
            currency,
            cast(func.sum(by_account.c.debits), BigInteger).label("debits"),
            cast(func.sum(by_account.c.credits), BigInteger).label("credits"),
        )
        .join(by_account, by_account.c.account_id == _account.id)
        .group_by(kind, currency)
        .order_by(currency, kind)
    )
    return _LINES.compiled(statement, names)


def _seen(actor: Actor) -> Values:
    return seen_with(Capability.LEDGER_READ, actor)


def _posted_by(as_of: datetime | None) -> Values:
    return {} if as_of is None else {"as_of": as_of}


def _values_of_accounts(where: AccountFilter) -> Values:
    values: dict[str, object] = {}
    if where.kinds is not None:
        values["kinds"] = sorted(where.kinds)
    if where.currencies is not None:
        values["currencies"] = sorted(where.currencies)
    if where.user_id is not None:
        values["user_id"] = where.user_id
    return values


def _values_of_entries(where: JournalFilter) -> Values:
    given = {
        "transaction_id": where.transaction_id,
        "account_id": where.account_id,
        "posted_from": where.posted_from,
        "posted_to": where.posted_to,
        "as_of": where.as_of,
    }
    return {name: value for name, value in given.items() if value is not None}
