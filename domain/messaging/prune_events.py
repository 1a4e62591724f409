"""Delete webhook events that were settled long ago, so that the inbox does not grow for ever."""

from datetime import timedelta

from domain.ports import UnitsOfWork
from domain.sweeps import SweepResult, SweepRun

KEPT_DAYS_MIN = 31
"""The processor may deliver or list an event for 30 days (docs.stripe.com/api/events): for so long its row must be known."""

BATCH = 500
BATCHES_MAX = 20


class PruneEvents:
    """The sweep that deletes applied and ignored events. Those that wait, or wait for a person, stay."""

    name = "webhook_events_prune"
    interval = timedelta(hours=1)

    def __init__(self, *, units: UnitsOfWork, kept: timedelta) -> None:
        if kept < timedelta(days=KEPT_DAYS_MIN):
            raise ValueError(f"Webhook events are kept for at least {KEPT_DAYS_MIN} days.")
        self._units = units
        self._kept = kept

    async def __call__(self, run: SweepRun) -> SweepResult:
        """Delete in small batches, each by itself, so that nobody waits for long for a row of this table."""
        pruned = 0
        for _ in range(BATCHES_MAX):
            async with self._units.autocommit() as uow:
                deleted = await uow.webhook_events.prune(run.started_at - self._kept, BATCH)
            pruned += deleted
            if deleted < BATCH:
                return SweepResult(found={"pruned": pruned})
        return SweepResult(found={"pruned": pruned}, more=True)
