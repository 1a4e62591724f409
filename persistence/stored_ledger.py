"""The ledger as `florin ledger verify` looks at it: each statement compares what one moment holds."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import Integer

from domain.currencies import Currency
from domain.ids import NIL, JournalEntryId, LedgerAccountId, TransactionId
from domain.ledger.verify import BrokenEntry, Compared, StoredAccount
from domain.money import Money
from persistence.engine import autocommitting
from persistence.ledger import account_of

_COUNT = "SELECT (SELECT count(*) FROM journal_entries) AS entries, (SELECT count(*) FROM transactions) AS transactions"

_ENTRIES = """
WITH looked_at AS MATERIALIZED (
    SELECT id, lines, posted_at FROM journal_entries WHERE id > :after ORDER BY id LIMIT :limit
), sums AS (
    SELECT l.entry_id, l.currency, sum(l.amount) AS total, count(*) AS lines,
        count(*) FILTER (WHERE a.id IS NULL OR l.posted_at <> e.posted_at) AS misplaced
    FROM looked_at e JOIN ledger_entries l ON l.entry_id = e.id
        LEFT JOIN ledger_accounts a ON a.id = l.account_id AND a.currency = l.currency
    GROUP BY l.entry_id, l.currency
)
SELECT e.id, e.lines AS wanted, coalesce(sum(s.lines), 0)::bigint AS found,
    coalesce(sum(s.misplaced), 0)::bigint AS misplaced, coalesce(bool_or(s.total <> 0), false) AS unbalanced
FROM looked_at e LEFT JOIN sums s ON s.entry_id = e.id
GROUP BY e.id, e.lines ORDER BY e.id
"""

_STRAY = """
SELECT count(*) AS number FROM ledger_entries l
WHERE NOT EXISTS (SELECT 1 FROM journal_entries e WHERE e.id = l.entry_id)
"""

_ACCOUNTS = """
SELECT a.id, a.kind, a.currency, a.user_id, coalesce(sum(l.amount), 0)::bigint AS balance
FROM ledger_accounts a LEFT JOIN ledger_entries l ON l.account_id = a.id
GROUP BY a.id ORDER BY a.id
"""

# Fees of disputes are in the same account as those of payments; the kind of the entry tells them apart.
_TRANSACTIONS = """
WITH looked_at AS MATERIALIZED (
    SELECT id, currency, captured, refunded, disputed, fee, fee_currency
    FROM transactions WHERE id > :after ORDER BY id LIMIT :limit
)
SELECT t.*, posted.*, coalesce(d.held, 0)::bigint AS disputes_held, coalesce(d.withdrawn, 0)::bigint AS withdrawn,
    coalesce(d.lost, 0)::bigint AS lost
FROM looked_at t
LEFT JOIN LATERAL (
    SELECT coalesce(sum(-l.amount) FILTER (WHERE a.kind = 'REVENUE' AND here), 0)::bigint AS ledger_captured,
        coalesce(sum(l.amount) FILTER (WHERE a.kind = 'REFUNDS' AND here), 0)::bigint AS ledger_refunded,
        coalesce(sum(l.amount) FILTER (WHERE a.kind IN ('DISPUTES', 'DISPUTE_LOSSES') AND here), 0)::bigint
            AS ledger_withdrawn,
        coalesce(sum(l.amount) FILTER (WHERE a.kind = 'DISPUTE_LOSSES' AND here), 0)::bigint AS ledger_lost,
        coalesce(sum(l.amount) FILTER (WHERE fee AND l.currency = t.fee_currency), 0)::bigint AS ledger_fee,
        coalesce(sum(l.amount) FILTER (WHERE fee AND l.currency IS DISTINCT FROM t.fee_currency), 0)::bigint
            AS fee_elsewhere
    FROM journal_entries e
        JOIN ledger_entries l ON l.entry_id = e.id
        JOIN ledger_accounts a ON a.id = l.account_id
        CROSS JOIN LATERAL (
            SELECT l.currency = t.currency AS here,
                a.kind = 'PROCESSOR_FEES' AND e.kind <> 'DISPUTE_FEE' AS fee
        ) AS of_what
    WHERE e.transaction_id = t.id
) posted ON true
LEFT JOIN LATERAL (
    SELECT sum(amount) FILTER (WHERE status IN ('NEEDS_RESPONSE', 'UNDER_REVIEW', 'LOST')) AS held,
        sum(withdrawn) AS withdrawn, sum(withdrawn) FILTER (WHERE status = 'LOST') AS lost
    FROM disputes WHERE transaction_id = t.id
) d ON true
ORDER BY t.id
"""


class SqlStoredLedger:
    """The port `domain.ledger.verify.StoredLedger`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def count(self) -> tuple[int, int]:
        [row] = await self._rows(_COUNT)
        return row["entries"], row["transactions"]

    async def entries(
        self, after: JournalEntryId | None, limit: int
    ) -> tuple[JournalEntryId | None, Sequence[BrokenEntry]]:
        rows = await self._rows(_ENTRIES, after=after or NIL, limit=limit)
        broken = [
            BrokenEntry(JournalEntryId(row["id"]), problem) for row in rows if (problem := _problem_of(row)) is not None
        ]
        return (JournalEntryId(rows[-1]["id"]) if rows else None), broken

    async def stray_lines(self) -> int:
        [row] = await self._rows(_STRAY)
        return int(row["number"])

    async def accounts(self) -> Sequence[StoredAccount]:
        return [
            StoredAccount(LedgerAccountId(row["id"]), account_of(row), row["balance"])
            for row in await self._rows(_ACCOUNTS)
        ]

    async def transactions(self, after: TransactionId | None, limit: int) -> Sequence[Compared]:
        return [_compared(row) for row in await self._rows(_TRANSACTIONS, after=after or NIL, limit=limit)]

    async def _rows(self, statement: str, **values: Any) -> Sequence[RowMapping]:  # Any: ids and numbers
        types = {"after": UUID, "limit": Integer}
        prepared = text(statement).bindparams(*(bindparam(name, type_=types[name]) for name in values))
        async with autocommitting(self._engine) as connection:
            return (await connection.execute(prepared, values)).mappings().all()


def _problem_of(row: RowMapping) -> str | None:
    if row["found"] != row["wanted"]:
        return f"it has {row['found']} lines, not {row['wanted']}"
    if row["misplaced"]:
        return f"{row['misplaced']} of its lines are of no account in their currency, or of another time"
    return "its lines do not add up to zero" if row["unbalanced"] else None


def _compared(row: RowMapping) -> Compared:
    return Compared(
        id=TransactionId(row["id"]),
        currency=Currency(row["currency"]),
        captured=row["captured"],
        ledger_captured=row["ledger_captured"],
        refunded=row["refunded"],
        ledger_refunded=row["ledger_refunded"],
        disputed=row["disputed"],
        disputes_held=row["disputes_held"],
        withdrawn=row["withdrawn"],
        ledger_withdrawn=row["ledger_withdrawn"],
        lost=row["lost"],
        ledger_lost=row["ledger_lost"],
        fee=None if row["fee"] is None else Money(row["fee"], Currency(row["fee_currency"])),
        ledger_fee=row["ledger_fee"],
        fee_elsewhere=row["fee_elsewhere"],
    )
