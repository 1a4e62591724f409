"""Our side of a reconciliation in PostgreSQL: one statement for each kind of record, whatever the number of records."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TIMESTAMP, UUID
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import Text

from domain.currencies import Currency
from domain.ids import RefundId, TransactionId
from domain.reconciliation.own_records import LedgerSums, OwnDispute, OwnRefund, OwnTransaction
from domain.reconciliation.records import Window
from persistence.disputes import dispute_of
from persistence.engine import autocommitting
from persistence.refunds import refund_of
from persistence.transactions import transaction_of

# An attempt that is looked at soon will tell by itself how it stands. One that is long overdue waits for a worker that is
# not there, and must not hide anything.
_LOOKED_AT_SOON = """
    a.state = 'OPEN' AND a.next_check_at > statement_timestamp() - :overdue
    AND a.next_check_at < statement_timestamp() + :soon
"""
_SOON, _OVERDUE = timedelta(minutes=2), timedelta(minutes=10)

# One statement sees one moment, so that a transaction and what the ledger says of it belong together. A dispute's fee is no
# part of the transaction's own.
_TRANSACTIONS = f"""
WITH wanted AS (
    SELECT id FROM transactions WHERE processor_reference = ANY(:references)
    UNION SELECT id FROM transactions WHERE id = ANY(:ids)
    UNION SELECT id FROM transactions WHERE created_at >= :made_from AND created_at < :made_before
), lines AS (
    SELECT e.transaction_id, l.currency, CASE
            WHEN a.kind = 'REVENUE' THEN 'sold'
            WHEN a.kind = 'REFUNDS' THEN 'refunded'
            WHEN a.kind IN ('DISPUTES', 'DISPUTE_LOSSES') THEN 'disputed'
            WHEN e.kind IN ('PROCESSOR_FEE', 'PROCESSOR_FEE_CORRECTION') THEN 'fees'
        END AS sum_of, CASE a.kind WHEN 'REVENUE' THEN -l.amount ELSE l.amount END AS amount
    FROM wanted JOIN journal_entries e ON e.transaction_id = wanted.id
        JOIN ledger_entries l ON l.entry_id = e.id JOIN ledger_accounts a ON a.id = l.account_id
    WHERE a.kind IN ('REVENUE', 'REFUNDS', 'DISPUTES', 'DISPUTE_LOSSES', 'PROCESSOR_FEES')
), sums AS (
    SELECT transaction_id, jsonb_agg(jsonb_build_array(sum_of, currency, amount)) AS ledger FROM (
        SELECT transaction_id, sum_of, currency, sum(amount) AS amount FROM lines
        WHERE sum_of IS NOT NULL GROUP BY transaction_id, sum_of, currency HAVING sum(amount) <> 0
    ) AS each GROUP BY transaction_id
)
SELECT t.*, sums.ledger,
    (SELECT coalesce(sum(d.withdrawn), 0)::bigint FROM disputes d WHERE d.transaction_id = t.id) AS withdrawn,
    t.updated_at > :settled_before OR EXISTS (
        SELECT 1 FROM attempts a WHERE a.transaction_id = t.id AND {_LOOKED_AT_SOON}
    ) AS under_way
FROM wanted JOIN transactions t ON t.id = wanted.id LEFT JOIN sums ON sums.transaction_id = t.id
ORDER BY t.created_at, t.id
"""  # noqa: S608  the parts are constants

_REFUNDS = f"""
WITH wanted AS (
    SELECT id FROM refunds WHERE processor_reference = ANY(:references)
    UNION SELECT id FROM refunds WHERE id = ANY(:ids)
    UNION SELECT id FROM refunds WHERE created_at >= :made_from AND created_at < :made_before
)
SELECT r.*, r.updated_at > :settled_before OR EXISTS (
        SELECT 1 FROM attempts a WHERE a.refund_id = r.id AND {_LOOKED_AT_SOON}
    ) AS under_way
FROM wanted JOIN refunds r ON r.id = wanted.id
ORDER BY r.created_at, r.id
"""  # noqa: S608  as above

_DISPUTES = """
WITH wanted AS (
    SELECT id FROM disputes WHERE processor_reference = ANY(:references)
    UNION SELECT id FROM disputes WHERE created_at >= :made_from AND created_at < :made_before
)
SELECT d.*, d.updated_at > :settled_before AS under_way
FROM wanted JOIN disputes d ON d.id = wanted.id
ORDER BY d.created_at, d.id
"""

_MOMENT = TIMESTAMP(timezone=True)


class SqlOwnRecords:
    """The reads behind `domain.reconciliation.own_records.OwnRecords`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def transactions(
        self,
        *,
        references: Collection[str],
        ids: Collection[TransactionId],
        made_in: Window | None,
        settled_before: datetime,
    ) -> list[OwnTransaction]:
        statement = _asking(_TRANSACTIONS, references, made_in, settled_before)
        rows = await self._rows(_soon(statement.bindparams(bindparam("ids", list(ids), type_=ARRAY(UUID)))))
        return [
            OwnTransaction(
                record=transaction_of(row),
                ledger=_ledger_of(row["ledger"] or ()),
                withdrawn=row["withdrawn"],
                under_way=row["under_way"],
            )
            for row in rows
        ]

    async def refunds(
        self,
        *,
        references: Collection[str],
        ids: Collection[RefundId],
        made_in: Window | None,
        settled_before: datetime,
    ) -> list[OwnRefund]:
        statement = _asking(_REFUNDS, references, made_in, settled_before)
        rows = await self._rows(_soon(statement.bindparams(bindparam("ids", list(ids), type_=ARRAY(UUID)))))
        return [OwnRefund(refund_of(row), row["under_way"]) for row in rows]

    async def disputes(
        self, *, references: Collection[str], made_in: Window | None, settled_before: datetime
    ) -> list[OwnDispute]:
        rows = await self._rows(_asking(_DISPUTES, references, made_in, settled_before))
        return [OwnDispute(dispute_of(row), row["under_way"]) for row in rows]

    async def _rows(self, statement: TextClause) -> Sequence[RowMapping]:
        async with autocommitting(self._engine) as connection:
            return (await connection.execute(statement)).mappings().all()


def _asking(query: str, references: Collection[str], made_in: Window | None, settled_before: datetime) -> TextClause:
    # Without a window both bounds are null, and nothing lies between them.
    return text(query).bindparams(
        bindparam("references", list(references), type_=ARRAY(Text)),
        bindparam("made_from", None if made_in is None else made_in.start, type_=_MOMENT),
        bindparam("made_before", None if made_in is None else made_in.end, type_=_MOMENT),
        bindparam("settled_before", settled_before, type_=_MOMENT),
    )


def _soon(statement: TextClause) -> TextClause:
    return statement.bindparams(
        bindparam("soon", _SOON, type_=INTERVAL), bindparam("overdue", _OVERDUE, type_=INTERVAL)
    )


def _ledger_of(sums: Sequence[tuple[str, str, int]]) -> LedgerSums:
    by_name: dict[str, dict[Currency, int]] = {"sold": {}, "refunded": {}, "fees": {}, "disputed": {}}
    for name, currency, amount in sums:
        by_name[name][Currency(currency)] = amount
    return LedgerSums(**by_name)
