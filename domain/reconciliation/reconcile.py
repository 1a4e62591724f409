"""Reconciles a window of time, slice by slice: what is suspected is looked at again, recorded, and cured where it can be."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.ids import DiscrepancyId, ReconciliationRunId
from domain.ports import Clock, IdSource, UnitsOfWork
from domain.reconciliation.cure import Cure
from domain.reconciliation.discrepancies import (
    CURABLE,
    SETTLING_TIME,
    Difference,
    Discrepancy,
    Resolution,
    Subject,
)
from domain.reconciliation.examination import Examination, Examined
from domain.reconciliation.records import Window
from domain.reconciliation.runs import Counts, RunAbandoned, RunState
from domain.reconciliation.slices import Slice, Slices, TooMuch

FIRST_LENGTH = timedelta(hours=1)
SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=1)
OBJECTS_WANTED_MIN = 250
OBJECTS_WANTED_MAX = 1_000
OBJECTS_MAX = 4_000
"""A slice that holds more of the processor's objects is cut in two before it is read to its end: memory stays bounded."""
OPEN_MAX = 1_000
"""How many open discrepancies a run looks at again; those that have waited longest come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A slice is done. `counts` is of the whole run so far; `found` and `cured` of this process."""

    window: Window
    slice: Window
    counts: Counts
    found: int
    cured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended."""

    run_id: ReconciliationRunId
    counts: Counts
    discrepancies: list[Discrepancy]
    resumed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DryReport:
    """What a run would have found."""

    counts: Counts
    differences: list[Difference]


@dataclass(slots=True)
class Tally:
    """What this process has recorded and cured so far."""

    found: int = 0
    cured: int = 0


class Reconcile:
    """Compares everything in a window. Several processes may do so at once, on the same window too."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        slices: Slices,
        examination: Examination,
        cure: Cure,
        clock: Clock,
        ids: IdSource,
        pause: Callable[[timedelta], Awaitable[None]],
    ) -> None:
        self._units = units
        self._slices = slices
        self._examine = examination
        self._cure = cure
        self._clock = clock
        self._ids = ids
        self._pause = pause

    async def __call__(
        self,
        window: Window,
        *,
        restart: bool = False,
        on_slice: Callable[[Progress], None] = lambda _: None,
        on_wait: Callable[[int], None] = lambda _: None,
    ) -> RunReport:
        """Reconcile a window, from where the last run of the same window stopped unless told to `restart`.

        What does not agree and is under way is looked at again SETTLING_TIME later: `on_wait` hears of how much there is.
        `on_slice` hears of each slice. What a killed run had recorded, it had recorded; its last slice is done again.
        Raises OutcomeUnknown, RequestRejected and domain.errors.Unavailable; the run can be taken up again then. Raises
        RunAbandoned where another process has restarted it.
        """
        async with self._units.begin() as uow:
            if restart:
                await uow.reconciliation_runs.abandon(window, self._clock.now())
            new_id = ReconciliationRunId(self._ids.new())
            run = await uow.reconciliation_runs.open(new_id, window, self._clock.now())
        resumed_at = run.cursor if run.id != new_id else None
        tally, under_way, young = Tally(), dict[Subject, None](), Counts()

        async def settle(found: Slice) -> None:
            for subject in found.suspects:
                await self.settle(subject, tally, run_id=run.id)
            under_way.update(dict.fromkeys(found.under_way))

        def tell(part: Window) -> None:
            counts = run.counts + young
            on_slice(Progress(window=window, slice=part, counts=counts, found=tally.found, cured=tally.cured))

        async def advance(part: Window, found: Slice) -> datetime:
            nonlocal run
            await settle(found)
            async with self._units.autocommit() as uow:
                run = await uow.reconciliation_runs.advance(run, part.end, found.counts, self._clock.now())
            if run.state is RunState.ABANDONED:
                raise RunAbandoned("Another process has begun a run of this window anew.")
            tell(part)
            return run.cursor

        async def stay(part: Window, found: Slice) -> datetime:
            nonlocal young
            await settle(found)
            young += found.counts
            tell(part)
            return part.end

        # What is younger may still change: a run that was killed compares that again.
        settled = max(run.cursor, min(window.end, self.settled_until()))
        await self.walk(run.cursor, settled, advance)
        await self.walk(settled, window.end, stay)
        if under_way:
            on_wait(len(under_way))
            await self._pause(SETTLING_TIME)
            for subject in under_way:
                await self.settle(subject, tally, run_id=run.id)
        if run.state is RunState.RUNNING:
            await self.look_again(run.started_at, OPEN_MAX, tally)
            async with self._units.autocommit() as uow:
                await uow.reconciliation_runs.finish(run, self._clock.now())
        async with self._units.autocommit() as uow:
            discrepancies = await uow.discrepancies.found_by(run.id)
        return RunReport(run_id=run.id, counts=run.counts + young, discrepancies=discrepancies, resumed_at=resumed_at)

    async def dry_run(
        self,
        window: Window,
        *,
        on_slice: Callable[[Progress], None] = lambda _: None,
        on_wait: Callable[[int], None] = lambda _: None,
    ) -> DryReport:
        """What does not agree in a window; nothing is recorded, and nothing cured. Waits and raises as a run does."""
        differences: list[Difference] = []
        under_way = dict[Subject, None]()
        counts = Counts()

        async def collect(part: Window, found: Slice) -> datetime:
            nonlocal counts
            for subject in found.suspects:
                _, examined = await self._look(subject)
                differences.extend(examined.differences)
            under_way.update(dict.fromkeys(found.under_way))
            counts += found.counts
            on_slice(Progress(window=window, slice=part, counts=counts, found=len(differences), cured=0))
            return part.end

        await self.walk(window.start, window.end, collect)
        if under_way:
            on_wait(len(under_way))
            await self._pause(SETTLING_TIME)
            for subject in under_way:
                _, examined = await self._look(subject)
                differences.extend(examined.differences)
        unique = {(each.kind, each.subject): each for each in differences}
        return DryReport(counts=counts, differences=list(unique.values()))

    async def walk(
        self,
        start: datetime,
        end: datetime,
        done: Callable[[Window, Slice], Awaitable[datetime]],
        *,
        objects_enough: int | None = None,
    ) -> datetime:
        """Compare from `start` to `end` in slices that hold neither too much nor too little; where it stopped.

        `done` gets each slice and says where to go on. After `objects_enough` of the processor's objects it stops early.
        """
        cursor, length, objects = start, FIRST_LENGTH, 0
        while cursor < end and (objects_enough is None or objects < objects_enough):
            part = Window(cursor, min(cursor + length, end))
            try:
                found = await self._slices.compare(
                    part,
                    settled_before=self._settled_before(),
                    objects_max=None if part.length <= SHORTEST else OBJECTS_MAX,
                )
            except TooMuch:
                length = _halved(part.length)
                continue
            cursor = await done(part, found)
            objects += found.counts.objects
            if found.counts.objects > OBJECTS_WANTED_MAX:
                length = _halved(length)
            elif found.counts.objects < OBJECTS_WANTED_MIN:
                length = min(2 * length, LONGEST)
        return cursor

    async def settle(self, subject: Subject, tally: Tally, *, run_id: ReconciliationRunId | None = None) -> None:
        """Look at a subject again; record what differs, cure what can be cured, and resolve what differs no more."""
        looked_at, examined = await self._look(subject)
        async with self._units.begin() as uow:
            recorded: list[DiscrepancyId] = []
            for difference in examined.differences:
                new_id = DiscrepancyId(self._ids.new())
                recorded.append(await uow.discrepancies.record(new_id, difference, looked_at))
            await uow.discrepancies.resolve_others(subject, examined.kinds, Resolution.NO_LONGER_SEEN, looked_at)
            if run_id is not None and recorded:
                await uow.discrepancies.attach(run_id, recorded)
        tally.found += len(recorded)
        if any(each.kind in CURABLE for each in examined.differences):
            await self._cure(subject)
            looked_at, after = await self._look(subject)
            async with self._units.autocommit() as uow:
                tally.cured += await uow.discrepancies.resolve_others(
                    subject, after.kinds, Resolution.CURED, looked_at, own=recorded
                )

    async def look_again(self, seen_before: datetime, limit: int, tally: Tally) -> None:
        """Look at open discrepancies that have not been seen since, so that those which are gone are resolved."""
        async with self._units.autocommit() as uow:
            subjects = await uow.discrepancies.open_subjects(seen_before, limit)
        for subject in subjects:
            await self.settle(subject, tally)

    def settled_until(self) -> datetime:
        """Until when a sweep compares, to the second: what is younger may be under way."""
        return self._settled_before().replace(microsecond=0)

    async def _look(self, subject: Subject) -> tuple[datetime, Examined]:
        """What differs in a subject, and when the look began."""
        looked_at = self._clock.now()
        return looked_at, await self._examine(subject, settled_before=self._settled_before())

    def _settled_before(self) -> datetime:
        return self._clock.now() - SETTLING_TIME


def _halved(length: timedelta) -> timedelta:
    return max(timedelta(seconds=int(length.total_seconds()) // 2), SHORTEST)
