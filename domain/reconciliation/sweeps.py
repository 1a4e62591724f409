"""What the worker reconciles by itself: the last minutes all the time, and everything of the last weeks once a day.

Both go in short runs that keep their place, so that no other sweep has to wait long.
"""

from datetime import datetime, timedelta

from domain.ports import Alerts, Clock, UnitsOfWork
from domain.reconciliation.reconcile import Reconcile, Tally
from domain.reconciliation.records import Window
from domain.reconciliation.slices import Slice
from domain.sweeps import SweepResult, SweepRun

OVERLAP = timedelta(minutes=5)
"""How much is looked at again each time: lists may come late, and what was under way then is settled by now."""
LOOK_AGAIN_AFTER = timedelta(minutes=10)
LOOK_AGAIN_MAX = 20
REACH = timedelta(days=35)
"""How far back the daily sweep goes: a refund may fail, and a dispute may be opened, weeks after the payment."""
OBJECTS_ENOUGH = 2_000


class ReconcileRecent:
    """Finds drift within minutes: everything made or moved since the last run, and a little before."""

    name = "reconcile_recent"
    interval = timedelta(minutes=1)

    def __init__(self, *, reconcile: Reconcile, units: UnitsOfWork, clock: Clock, alerts: Alerts) -> None:
        self._reconcile = reconcile
        self._units = units
        self._clock = clock
        self._alerts = alerts

    async def __call__(self, run: SweepRun) -> SweepResult:
        end = self._reconcile.settled_until()
        # The first run has nothing before it; what is older than a day is the daily sweep's.
        start = end - timedelta(days=1) if run.mark is None else min(run.mark, end)
        tally = Tally()
        until = await _sweep(self._reconcile, start, end, tally)
        arrived = until >= end
        if arrived:
            await self._reconcile.look_again(self._clock.now() - LOOK_AGAIN_AFTER, LOOK_AGAIN_MAX, tally)
        async with self._units.autocommit() as uow:
            still_open = await uow.discrepancies.count_open()
        if still_open.number:
            self._alerts.discrepancies_open(still_open)
        found = {"found": tally.found, "cured": tally.cured, "open": still_open.number}
        return SweepResult(mark=end - OVERLAP if arrived else until, found=found, more=not arrived)


class ReconcileAll:
    """Finds what changed without any money moving, or while nobody was looking: everything of the last weeks, once a day."""

    name = "reconcile_all"
    interval = timedelta(days=1)

    def __init__(self, reconcile: Reconcile) -> None:
        self._reconcile = reconcile

    async def __call__(self, run: SweepRun) -> SweepResult:
        end = self._reconcile.settled_until()
        start = max(end - REACH, run.mark or end - REACH)
        tally = Tally()
        until = await _sweep(self._reconcile, start, end, tally)
        arrived = until >= end
        found = {"found": tally.found, "cured": tally.cured}
        # Tomorrow it begins at the beginning again.
        return SweepResult(mark=None if arrived else until, found=found, more=not arrived)


async def _sweep(reconcile: Reconcile, start: datetime, end: datetime, tally: Tally) -> datetime:
    async def settle(part: Window, found: Slice) -> datetime:
        for subject in found.suspects:
            await reconcile.settle(subject, tally)
        return part.end

    return await reconcile.walk(start, end, settle, objects_enough=OBJECTS_ENOUGH)
