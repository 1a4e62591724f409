"""Sweeps run on one worker at a time, at intervals, and begin where the last one ended."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.payments.gateway import OutcomeUnknown
from domain.ports import LeaseLost
from domain.sweeps import SweepResult, SweepRun
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.captured_logs import captured_logs
from tests.support.clock import START
from tests.support.database import rows
from worker.sweeps import RETRY_AFTER_MAX, Sweeper

HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Round:
    """A sweep that does what a test says."""

    name: str = "round"
    interval: timedelta = HOUR
    act: Callable[[SweepRun], Awaitable[SweepResult]] | None = None
    runs: list[SweepRun] = field(default_factory=list)

    async def __call__(self, run: SweepRun) -> SweepResult:
        self.runs.append(run)
        return SweepResult(mark=run.started_at) if self.act is None else await self.act(run)


async def run_due(sweeper: Sweeper) -> int:
    """Run what is due; how many sweeps that were."""
    claimed = await sweeper.claim(10)
    for run in claimed:
        await sweeper.run(run)
    return len(claimed)


async def pass_time(engine: AsyncEngine, by: timedelta) -> None:
    await rows(
        engine,
        "UPDATE sweeps SET next_run_at = next_run_at - CAST(:by AS interval), lease_until = lease_until - :by RETURNING 1",
        by=by,
    )


async def due_in(engine: AsyncEngine) -> timedelta:
    ((left,),) = await rows(engine, "SELECT next_run_at - clock_timestamp() FROM sweeps")
    assert isinstance(left, timedelta)
    return left


async def test_a_sweep_runs_at_its_interval_and_remembers_its_mark(engine: AsyncEngine, units: SqlUnitsOfWork) -> None:
    sweep = Round()
    sweeper = Sweeper(units, [sweep])
    assert await run_due(sweeper) == 1
    assert await run_due(sweeper) == 0
    await pass_time(engine, HOUR)
    assert await run_due(sweeper) == 1
    first, second = sweep.runs
    assert first.mark is None
    assert second.mark == first.started_at
    assert second.started_at > first.started_at


async def test_of_workers_at_once_one_runs_it(units: SqlUnitsOfWork) -> None:
    sweepers = [Sweeper(units, [Round("one"), Round("other")]) for _ in range(8)]
    claims = await asyncio.gather(*(sweeper.claim(1) for sweeper in sweepers))
    claims += await asyncio.gather(*(sweeper.claim(1) for sweeper in sweepers))
    assert sorted(run.name for claim in claims for run in claim) == ["one", "other"]


async def test_a_run_that_has_more_to_do_is_due_at_once(units: SqlUnitsOfWork) -> None:
    async def in_three_pieces(run: SweepRun) -> SweepResult:
        piece = START if run.mark is None else run.mark + HOUR
        return SweepResult(mark=piece, more=piece < START + 2 * HOUR)

    sweep = Round(act=in_three_pieces)
    sweeper = Sweeper(units, [sweep])
    while await run_due(sweeper):
        pass
    assert [run.mark for run in sweep.runs] == [None, START, START + HOUR]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OutcomeUnknown("the processor is away")])
async def test_a_run_that_fails_keeps_its_mark_and_comes_again_soon(
    engine: AsyncEngine, units: SqlUnitsOfWork, error: Exception
) -> None:
    async def fail_the_second(run: SweepRun) -> SweepResult:
        if run.runs == 2:
            raise error
        return SweepResult(mark=START)

    sweep = Round(act=fail_the_second)
    sweeper = Sweeper(units, [sweep])
    await run_due(sweeper)
    await pass_time(engine, HOUR)
    with captured_logs() as logs:
        await run_due(sweeper)
    assert [line["sweep"] for line in logs.lines] == ["round"]
    assert await due_in(engine) <= RETRY_AFTER_MAX
    await pass_time(engine, RETRY_AFTER_MAX)
    await run_due(sweeper)
    assert [run.mark for run in sweep.runs] == [None, START, START]


async def test_a_sweep_that_kills_its_worker_comes_again_an_interval_later(
    engine: AsyncEngine, units: SqlUnitsOfWork
) -> None:
    sweeper = Sweeper(units, [Round()])
    (dead,) = await sweeper.claim(1)
    await pass_time(engine, timedelta(minutes=10))
    assert await sweeper.claim(1) == []
    await pass_time(engine, HOUR)
    (alive,) = await sweeper.claim(1)
    assert alive.runs == dead.runs + 1


async def test_who_lost_the_lease_can_change_nothing(engine: AsyncEngine, units: SqlUnitsOfWork) -> None:
    sweeper = Sweeper(units, [Round()])
    (slow,) = await sweeper.claim(1)
    await pass_time(engine, HOUR)
    (quick,) = await sweeper.claim(1)
    before = await rows(engine, "SELECT * FROM sweeps")
    acts: list[Callable[[SweepRun], Awaitable[None]]] = [
        lambda run: _finish(units, run, START),
        lambda run: _renew(units, run),
    ]
    for act in acts:
        with pytest.raises(LeaseLost):
            await act(slow)
    assert await rows(engine, "SELECT * FROM sweeps") == before
    await _renew(units, quick)
    await _finish(units, quick, START)
    # A renewal that was on its way when the run ended holds nothing.
    with pytest.raises(LeaseLost):
        await _renew(units, quick)


async def _finish(units: SqlUnitsOfWork, run: SweepRun, mark: datetime) -> None:
    async with units.autocommit() as uow:
        await uow.sweeps.finish(run, mark, HOUR)


async def _renew(units: SqlUnitsOfWork, run: SweepRun) -> None:
    async with units.autocommit() as uow:
        await uow.sweeps.renew(run)
