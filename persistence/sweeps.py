"""Sweeps in PostgreSQL: one row for each, leased by the database's clock."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.leases import LEASE
from domain.ports import LeaseLost
from domain.sweeps import SweepRun
from persistence.connection import Connection
from persistence.tables import sweeps


class SqlSweeps:
    """The repository behind `domain.sweeps.SweepRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim_due(self, intervals: Mapping[str, timedelta], limit: int) -> list[SweepRun]:
        c = sweeps.c
        now = func.statement_timestamp()
        # A new sweep gets its row from whoever looks first.
        missing = insert(sweeps).values([{"name": name, "runs": 0, "next_run_at": now} for name in sorted(intervals)])
        await self._connection.execute(missing.on_conflict_do_nothing())
        due = (
            select(c.name)
            .where(
                c.name.in_(sorted(intervals)), c.next_run_at <= now, or_(c.lease_until.is_(None), c.lease_until < now)
            )
            .order_by(c.next_run_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        interval = case(dict(intervals), value=c.name)
        statement = (
            update(sweeps)
            .where(c.name.in_(select(due.c.name)))
            .values(runs=c.runs + 1, lease_until=now + LEASE, started_at=now, next_run_at=now + interval)
            .returning(c.name, c.runs, c.started_at, c.mark)
        )
        return [SweepRun(**row) for row in await self._connection.fetch(statement)]

    async def renew(self, run: SweepRun) -> None:
        await self._mine(run, {"lease_until": func.clock_timestamp() + LEASE})

    async def finish(self, run: SweepRun, mark: datetime | None, next_in: timedelta) -> None:
        now = func.clock_timestamp()
        await self._mine(run, {"lease_until": None, "mark": mark, "finished_at": now, "next_run_at": now + next_in})

    async def _mine(self, run: SweepRun, values: Mapping[str, object]) -> None:
        statement = (
            update(sweeps)
            .where(sweeps.c.name == run.name, sweeps.c.runs == run.runs, sweeps.c.lease_until.is_not(None))
            .values(values)
        )
        if await self._connection.execute(statement) == 0:
            raise LeaseLost(f"The sweep {run.name} was finished or taken over by another process.")
