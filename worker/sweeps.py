"""Runs sweeps when they are due, each in one process at a time, and tells what they did."""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from domain.errors import Unavailable
from domain.leases import kept
from domain.payments.gateway import OutcomeUnknown
from domain.ports import LeaseLost, UnitsOfWork
from domain.sweeps import Sweep, SweepResult, SweepRun

log = structlog.get_logger(__name__)

RETRY_AFTER_MAX = timedelta(minutes=1)
"""How long after a run that failed the next one comes, at the most."""


class Sweeper:
    """The sweeps of one worker."""

    def __init__(self, units: UnitsOfWork, sweeps: Sequence[Sweep]) -> None:
        self._units = units
        self._sweeps = {sweep.name: sweep for sweep in sweeps}

    async def claim(self, limit: int) -> list[SweepRun]:
        """Claim at most `limit` sweeps that are due."""
        if not self._sweeps:
            return []
        intervals = {name: sweep.interval for name, sweep in self._sweeps.items()}
        async with self._units.autocommit() as uow:
            return await uow.sweeps.claim_due(intervals, limit)

    async def run(self, run: SweepRun) -> None:
        """Run a claimed sweep to its end. One that fails keeps its mark and is tried again soon."""
        sweep = self._sweeps[run.name]
        try:
            async with kept(lambda: self._renew(run)):
                result = await sweep(run)
        except (OutcomeUnknown, Unavailable, LeaseLost) as error:
            log.warning("sweep.broken_off", sweep=run.name, error=str(error))
        except Exception:
            log.exception("sweep.failed", sweep=run.name)
        else:
            await self._finish(run, result, timedelta(0) if result.more else sweep.interval)
            # One that found nothing, every few seconds, is not worth a line.
            tell = log.info if result.found else log.debug
            tell("sweep.finished", sweep=run.name, runs=run.runs, **result.found)
            return
        await self._finish(run, SweepResult(mark=run.mark), min(sweep.interval, RETRY_AFTER_MAX))

    async def _finish(self, run: SweepRun, result: SweepResult, next_in: timedelta) -> None:
        try:
            async with self._units.autocommit() as uow:
                await uow.sweeps.finish(run, result.mark, next_in)
        except (LeaseLost, Unavailable) as error:
            # Another process has taken over, or will once the lease has run out.
            log.warning("sweep.not_recorded", sweep=run.name, error=str(error))

    async def _renew(self, run: SweepRun) -> None:
        async with self._units.autocommit() as uow:
            await uow.sweeps.renew(run)
