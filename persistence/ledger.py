"""The ledger in PostgreSQL: entries are added in one statement, and never changed."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from domain.currencies import Currency
from domain.ids import DisputeId, JournalEntryId, RefundId, TransactionId, UserId
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import EntryKind, JournalEntry, LedgerEntry
from persistence.connection import Connection
from persistence.rows import Row
from persistence.statements import compiled
from persistence.tables import journal_entries, ledger_accounts, ledger_entries

# One round trip for everything, and one text for any number of entries, so that it is prepared once. JSON rather than
# arrays: each new connection would ask the server about their types first. An account that exists is left alone without
# locking it, so that payments that share an account do not wait for each other.
_POST = compiled(
    text("""
WITH accounts AS (
    INSERT INTO ledger_accounts (id, kind, currency, user_id, created_at)
    SELECT id, kind, currency, user_id, created_at FROM jsonb_to_recordset(:accounts)
        AS (id uuid, kind text, currency text, user_id uuid, created_at timestamptz)
    ON CONFLICT DO NOTHING
), posted AS (
    INSERT INTO journal_entries (id, transaction_id, kind, source, refund_id, dispute_id, lines, posted_at)
    SELECT id, transaction_id, kind, source, refund_id, dispute_id, lines, posted_at FROM jsonb_to_recordset(:entries)
        AS (id uuid, transaction_id uuid, kind text, source text, refund_id uuid, dispute_id uuid, lines smallint,
            posted_at timestamptz)
    ON CONFLICT (transaction_id, kind, source) DO NOTHING
    RETURNING id, posted_at
)
INSERT INTO ledger_entries (entry_id, line, account_id, currency, amount, posted_at)
SELECT line.entry_id, line.number, line.account_id, line.currency, line.amount, posted.posted_at
FROM jsonb_to_recordset(:lines)
    AS line (entry_id uuid, number smallint, account_id uuid, currency text, amount bigint)
JOIN posted ON posted.id = line.entry_id
""").bindparams(*(bindparam(name, type_=JSONB) for name in ("accounts", "entries", "lines")))
)


def _id(value: UUID | None) -> str | None:
    # As the driver has read it, a UUID is of a class of its own, which orjson does not take.
    return None if value is None else str(value)


class SqlLedger:
    """The repository behind `domain.ports.LedgerRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def post(self, entries: Sequence[JournalEntry]) -> None:
        # In one order everywhere: two that create the same new accounts then cannot wait for each other.
        accounts = sorted({line.account for entry in entries for line in entry.lines}, key=lambda each: each.id)
        await self._connection.execute(
            _POST,
            {
                "accounts": [
                    {
                        "id": _id(account.id),
                        "kind": account.kind,
                        "currency": account.currency,
                        "user_id": _id(account.user_id),
                        "created_at": entries[0].posted_at,
                    }
                    for account in accounts
                ],
                "entries": [
                    {
                        "id": _id(entry.id),
                        "transaction_id": _id(entry.transaction_id),
                        "kind": entry.kind,
                        "source": entry.source,
                        "refund_id": _id(entry.refund_id),
                        "dispute_id": _id(entry.dispute_id),
                        "lines": len(entry.lines),
                        "posted_at": entry.posted_at,
                    }
                    for entry in entries
                ],
                "lines": [
                    {
                        "entry_id": _id(entry.id),
                        "number": number,
                        "account_id": _id(line.account.id),
                        "currency": line.account.currency,
                        "amount": line.minor_units,
                    }
                    for entry in entries
                    for number, line in enumerate(entry.lines)
                ],
            },
        )

    async def of_refund(self, refund_id: RefundId) -> list[JournalEntry]:
        return [journal_entry_of(row) for row in await self._connection.fetch(_OF_REFUND, {"refund_id": refund_id})]


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

_OF_REFUND = compiled(select(*ENTRY_COLUMNS).where(journal_entries.c.refund_id == bindparam("refund_id")))


def journal_entry_of(row: Row) -> JournalEntry:
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


def account_of(row: Row) -> Account:
    return _account(row["kind"], row["currency"], row["user_id"])


def _account(kind: str, currency: str, user_id: UUID | str | None) -> Account:
    customer = None if user_id is None else UserId(UUID(str(user_id)))
    return Account(AccountKind(kind), Currency(currency), customer)
