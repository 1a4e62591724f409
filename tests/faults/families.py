"""The families of cases: each finds its cases by running, and runs them.

A family takes every case that there is, or every n-th (its stride) where all of them would take too long for each change.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from math import isqrt
from typing import TypeAlias

from tests.faults.acts import Assembly, as_it_is
from tests.faults.cases import Case, Hooks, Rival
from tests.faults.processor import FAULTS_WITHOUT_KEY, Fault
from tests.faults.runner import Outcome, Runner
from tests.faults.scripts import SCRIPTS
from tests.faults.timeline import STRIKES, How

Outcomes: TypeAlias = AsyncIterator[Outcome]


class Thinning:
    """Lets every n-th pass. Where the first one stands depends on the seed, so that chunks do not all leave out the same."""

    def __init__(self, stride: int, seed: int) -> None:
        self._stride = stride
        self._numbers = count(seed)

    def passes(self) -> bool:
        return next(self._numbers) % self._stride == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a family, as one test runs it."""

    family: str
    script: str
    hooks: Hooks
    stride: int = 1
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.family}-{self.script}-{self.hooks}"

    @property
    def base(self) -> Case:
        return Case(script=self.script, hooks=self.hooks)

    async def run(self, runner: Runner, assembly: Assembly = as_it_is) -> Outcomes:
        """Run its cases one after the other."""
        async for outcome in _FAMILIES[self.family](self, runner, assembly):
            yield outcome


async def _crashes(chunk: Chunk, runner: Runner, assembly: Assembly) -> Outcomes:
    """Everything that may strike, at every point of a run in which nothing else goes wrong."""
    base = await runner.run(chunk.base, assembly)
    yield base
    thinning = Thinning(chunk.stride, chunk.seed)
    for point in base.points:
        for how in STRIKES[point.kind]:
            if thinning.passes():
                yield await runner.run(replace(chunk.base, strikes=((how, point.number),)), assembly)


async def _faults(chunk: Chunk, runner: Runner, assembly: Assembly) -> Outcomes:
    """Every fault of the processor at every call."""
    base = await runner.run(chunk.base, assembly)
    thinning = Thinning(chunk.stride, chunk.seed)
    for case in _with_faults(base):
        if thinning.passes():
            yield await runner.run(case, assembly)


async def _faults_and_crashes(chunk: Chunk, runner: Runner, assembly: Assembly) -> Outcomes:
    """A fault of the processor, and a process that dies at a point after it."""
    base = await runner.run(chunk.base, assembly)
    outer, inner = Thinning(_root(chunk.stride), chunk.seed), Thinning(_root(chunk.stride), chunk.seed)
    for case in _with_faults(base):
        if not outer.passes():
            continue
        faulty = await runner.run(case, assembly)
        for point in faulty.points[faulty.first_trouble :]:
            if inner.passes():
                yield await runner.run(replace(case, strikes=((How.KILL, point.number),)), assembly)


async def _double_crashes(chunk: Chunk, runner: Runner, assembly: Assembly) -> Outcomes:
    """A process that dies, and another one that dies while it recovers."""
    base = await runner.run(chunk.base, assembly)
    outer, inner = Thinning(_root(chunk.stride), chunk.seed), Thinning(_root(chunk.stride), chunk.seed)
    for first in base.points:
        if not outer.passes():
            continue
        strike = (How.KILL, first.number)
        recovered = await runner.run(replace(chunk.base, strikes=(strike,)), assembly)
        for second in recovered.points[first.number + 1 :]:
            if inner.passes():
                yield await runner.run(replace(chunk.base, strikes=(strike, (How.KILL, second.number))), assembly)


async def _races(chunk: Chunk, runner: Runner, assembly: Assembly) -> Outcomes:
    """A process that stands still at a point, while somebody else does what there is to do."""
    base = await runner.run(chunk.base, assembly)
    thinning = Thinning(chunk.stride, chunk.seed)
    for point in base.points:
        for rival in Rival:
            if thinning.passes() and (rival is not Rival.OTHER or base.has_other):
                yield await runner.run(replace(chunk.base, strikes=((How.STALL, point.number),), rival=rival), assembly)


_FAMILIES: dict[str, Callable[[Chunk, Runner, Assembly], Outcomes]] = {
    "crashes": _crashes,
    "faults": _faults,
    "faults-and-crashes": _faults_and_crashes,
    "double-crashes": _double_crashes,
    "races": _races,
}

# For each family and order of events, every how many cases one is run on each change.
_STRIDES: dict[str, dict[Hooks, int]] = {
    "crashes": {
        Hooks.EARLY: 16,
        Hooks.AFTER: 1,
        Hooks.DOUBLED: 16,
        Hooks.REVERSED: 16,
        Hooks.LATE: 16,
        Hooks.LOST: 5,
    },
    "faults": {
        Hooks.EARLY: 1,
        Hooks.AFTER: 1,
        Hooks.DOUBLED: 4,
        Hooks.REVERSED: 4,
        Hooks.LATE: 4,
        Hooks.LOST: 3,
    },
    "faults-and-crashes": {Hooks.AFTER: 81, Hooks.LOST: 81},
    "double-crashes": {Hooks.AFTER: 121, Hooks.LOST: 121},
    "races": {Hooks.AFTER: 3, Hooks.LATE: 12},
}


def chunks(*, thinner: int = 1) -> list[Chunk]:
    """All chunks. `thinner` makes the strides so many times longer; 0 leaves no case out."""
    return [
        Chunk(family=family, script=script, hooks=hooks, stride=thinner * strides[hooks] or 1, seed=seed)
        for family, strides in _STRIDES.items()
        for seed, script in enumerate(SCRIPTS)
        for hooks in strides
    ]


def _with_faults(base: Outcome) -> Iterator[Case]:
    for call, keyed in enumerate(base.keyed):
        for fault in Fault if keyed else FAULTS_WITHOUT_KEY:
            yield replace(base.case, fault=(fault, call))


def _root(stride: int) -> int:
    """Where two things are thinned, each is by the square root."""
    return isqrt(stride)
