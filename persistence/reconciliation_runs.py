"""Runs of reconciliation in PostgreSQL."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from domain.ids import ReconciliationRunId
from domain.reconciliation.records import Window
from domain.reconciliation.runs import Counts, ReconciliationRun, RunState
from persistence.connection import Connection
from persistence.rows import Row
from persistence.tables import reconciliation_runs


class SqlReconciliationRuns:
    """The repository behind `domain.reconciliation.runs.RunRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self, new_id: ReconciliationRunId, window: Window, now: datetime) -> ReconciliationRun:
        new = {
            "id": new_id,
            "state": RunState.RUNNING.value,
            "window_start": window.start,
            "window_end": window.end,
            "cursor": window.start,
            "started_at": now,
            "updated_at": now,
            **_counts(Counts()),
        }
        # Of two that open a run of the same window at once the second waits here, and then finds the first one's.
        await self._connection.execute(
            insert(reconciliation_runs)
            .values(new)
            .on_conflict_do_nothing(
                index_elements=["window_start", "window_end"], index_where=text("state = 'RUNNING'")
            )
        )
        return await self._one(_running(window))

    async def abandon(self, window: Window, now: datetime) -> None:
        await self._connection.execute(
            update(reconciliation_runs).where(_running(window)).values(state=RunState.ABANDONED.value, updated_at=now)
        )

    async def advance(
        self, run: ReconciliationRun, cursor: datetime, counts: Counts, now: datetime
    ) -> ReconciliationRun:
        c = reconciliation_runs.c
        added = {name: c[name] + number for name, number in _counts(counts).items()}
        statement = (
            update(reconciliation_runs)
            .where(c.id == run.id, c.cursor == run.cursor, c.state == RunState.RUNNING.value)
            .values(cursor=cursor, updated_at=now, **added)
            .returning(*c)
        )
        row = await self._connection.fetch_one(statement)
        return await self._one(c.id == run.id) if row is None else _run_of(row)

    async def finish(self, run: ReconciliationRun, now: datetime) -> None:
        running = and_(reconciliation_runs.c.id == run.id, reconciliation_runs.c.state == RunState.RUNNING.value)
        await self._connection.execute(
            update(reconciliation_runs).where(running).values(state=RunState.DONE.value, updated_at=now)
        )

    async def _one(self, condition: ColumnElement[bool]) -> ReconciliationRun:
        (row,) = await self._connection.fetch(select(reconciliation_runs).where(condition))
        return _run_of(row)


def _running(window: Window) -> ColumnElement[bool]:
    c = reconciliation_runs.c
    return and_(c.window_start == window.start, c.window_end == window.end, c.state == RunState.RUNNING.value)


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "charges": counts.charges,
        "refunds": counts.refunds,
        "disputes": counts.disputes,
        "balance_entries": counts.balance_entries,
        "transactions": counts.transactions,
        "foreign_charges": counts.foreign,
    }


def _run_of(row: Row) -> ReconciliationRun:
    return ReconciliationRun(
        id=ReconciliationRunId(row["id"]),
        window=Window(row["window_start"], row["window_end"]),
        cursor=row["cursor"],
        counts=Counts(
            charges=row["charges"],
            refunds=row["refunds"],
            disputes=row["disputes"],
            balance_entries=row["balance_entries"],
            transactions=row["transactions"],
            foreign=row["foreign_charges"],
        ),
        state=RunState(row["state"]),
        started_at=row["started_at"],
    )
