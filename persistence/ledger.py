"""The ledger in PostgreSQL: entries are added in one statement, and never changed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, aggregate_order_by
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import BigInteger, SmallInteger, Text

from domain.currencies import Currency
from domain.ids import DisputeId, JournalEntryId, RefundId, TransactionId, UserId
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import EntryKind, JournalEntry, LedgerEntry
from persistence.tables import journal_entries, ledger_accounts, ledger_entries

# One round trip for everything, and one text for any number of entries, so that it is prepared once. An account that
# exists is left alone without locking it, so that payments that share an account do not wait for each other.
_POST = """
WITH accounts AS (
    INSERT INTO ledger_accounts (id, kind, currency, user_id, created_at)
    SELECT * FROM unnest(:account_ids, :account_kinds, :account_currencies, :account_users, :account_times)
    ON CONFLICT DO NOTHING
), posted AS (
    INSERT INTO journal_entries (id, transaction_id, kind, source, refund_id, dispute_id, lines, posted_at)
    SELECT * FROM unnest(:ids, :transactions, :kinds, :sources, :refunds, :disputes, :lines, :times)
    ON CONFLICT (transaction_id, kind, source) DO NOTHING
    RETURNING id, posted_at
)
INSERT INTO ledger_entries (entry_id, line, account_id, currency, amount, posted_at)
SELECT line.entry_id, line.number, line.account_id, line.currency, line.amount, posted.posted_at
FROM unnest(:line_entries, :line_numbers, :line_accounts, :line_currencies, :line_amounts)
    AS line (entry_id, number, account_id, currency, amount)
JOIN posted ON posted.id = line.entry_id
"""
_UUIDS, _TEXTS = ARRAY(PG_UUID), ARRAY(Text)
_MOMENTS = ARRAY(TIMESTAMP(timezone=True))
_TYPES: dict[str, ARRAY[Any]] = {  # Any: arrays of several types
    "account_ids": _UUIDS,
    "account_kinds": _TEXTS,
    "account_currencies": _TEXTS,
    "account_users": _UUIDS,
    "account_times": _MOMENTS,
    "ids": _UUIDS,
    "transactions": _UUIDS,
    "kinds": _TEXTS,
    "sources": _TEXTS,
    "refunds": _UUIDS,
    "disputes": _UUIDS,
    "lines": ARRAY(SmallInteger),
    "times": _MOMENTS,
    "line_entries": _UUIDS,
    "line_numbers": ARRAY(SmallInteger),
    "line_accounts": _UUIDS,
    "line_currencies": _TEXTS,
    "line_amounts": ARRAY(BigInteger),
}


def _statement() -> TextClause:
    return text(_POST).bindparams(*(bindparam(name, type_=of) for name, of in _TYPES.items()))


_POST_STATEMENT = _statement()


class SqlLedger:
    """The repository behind `domain.ports.LedgerRepository`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def post(self, entries: Sequence[JournalEntry]) -> None:
        # In one order everywhere: two that create the same new accounts then cannot wait for each other.
        accounts = sorted({line.account for entry in entries for line in entry.lines}, key=lambda each: each.id)
        lines = [(entry, number, line) for entry in entries for number, line in enumerate(entry.lines)]
        await self._connection.execute(
            _POST_STATEMENT,
            {
                "account_ids": [account.id for account in accounts],
                "account_kinds": [account.kind.value for account in accounts],
                "account_currencies": [account.currency.value for account in accounts],
                "account_users": [account.user_id for account in accounts],
                "account_times": [entries[0].posted_at for _ in accounts],
                "ids": [entry.id for entry in entries],
                "transactions": [entry.transaction_id for entry in entries],
                "kinds": [entry.kind.value for entry in entries],
                "sources": [entry.source for entry in entries],
                "refunds": [entry.refund_id for entry in entries],
                "disputes": [entry.dispute_id for entry in entries],
                "lines": [len(entry.lines) for entry in entries],
                "times": [entry.posted_at for entry in entries],
                "line_entries": [entry.id for entry, _, _ in lines],
                "line_numbers": [number for _, number, _ in lines],
                "line_accounts": [line.account.id for _, _, line in lines],
                "line_currencies": [line.account.currency.value for _, _, line in lines],
                "line_amounts": [line.minor_units for _, _, line in lines],
            },
        )

    async def of_refund(self, refund_id: RefundId) -> list[JournalEntry]:
        statement = select(*ENTRY_COLUMNS).where(journal_entries.c.refund_id == refund_id)
        return [journal_entry_of(row) for row in (await self._connection.execute(statement)).mappings()]


# An entry's lines as one JSON list, so that an entry is one row, and a page of them is cut before their lines are read.
ENTRY_COLUMNS = (
    *journal_entries.c,
    select(
        func.jsonb_agg(
            aggregate_order_by(
                func.jsonb_build_array(
                    ledger_accounts.c.kind,
                    ledger_accounts.c.currency,
                    ledger_accounts.c.user_id,
                    ledger_entries.c.amount,
                ),
                ledger_entries.c.line,
            )
        )
    )
    .select_from(ledger_entries.join(ledger_accounts, ledger_accounts.c.id == ledger_entries.c.account_id))
    .where(ledger_entries.c.entry_id == journal_entries.c.id)
    .correlate(journal_entries)
    .scalar_subquery()
    .label("line_items"),
)


def journal_entry_of(row: RowMapping) -> JournalEntry:
    return JournalEntry(
        id=JournalEntryId(row["id"]),
        transaction_id=TransactionId(row["transaction_id"]),
        kind=EntryKind(row["kind"]),
        source=row["source"],
        lines=tuple(LedgerEntry(_account(*of), amount) for *of, amount in row["line_items"]),
        posted_at=row["posted_at"],
        refund_id=None if row["refund_id"] is None else RefundId(row["refund_id"]),
        dispute_id=None if row["dispute_id"] is None else DisputeId(row["dispute_id"]),
    )


def account_of(row: RowMapping) -> Account:
    return _account(row["kind"], row["currency"], row["user_id"])


def _account(kind: str, currency: str, user_id: UUID | str | None) -> Account:
    customer = None if user_id is None else UserId(UUID(str(user_id)))
    return Account(AccountKind(kind), Currency(currency), customer)
