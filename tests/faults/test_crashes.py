"""No payment is lost and none is taken twice: thousands of enumerated crashes, faults and races. See docs/faults.md."""

import asyncio
import os

import pytest

from tests.faults.cases import Case, Hooks, Rival
from tests.faults.families import Chunk, chunks
from tests.faults.figures import Figures
from tests.faults.processor import Fault
from tests.faults.runner import Outcome, Runner
from tests.faults.timeline import How

THINNER = int(os.environ.get("FLORIN_FAULTS_THINNER", "1"))
_SHOWN_MAX = 20


@pytest.mark.parametrize("chunk", chunks(thinner=THINNER), ids=str)
def test_no_payment_is_lost_and_none_is_taken_twice(
    chunk: Chunk, runner: Runner, faults_loop: asyncio.AbstractEventLoop, figures: Figures
) -> None:
    broken: list[Outcome] = []

    async def run() -> None:
        async for outcome in chunk.run(runner):
            figures.add(chunk.family, outcome)
            if outcome.violations:
                broken.append(outcome)

    faults_loop.run_until_complete(run())
    if broken:
        pytest.fail(_described(broken), pytrace=False)


def _described(broken: list[Outcome]) -> str:
    """The first case as a whole, and how to run it again; the names of the others."""
    first, *others = broken
    lines = [f"{len(broken)} cases break an invariant. Run the first again: make faults CASE={first.case.name}", ""]
    lines += [first.report(), ""]
    lines += [f"{outcome.case.name}: {outcome.violations[0]}" for outcome in others[:_SHOWN_MAX]]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "case",
    [
        Case(script="pay", hooks=Hooks.AFTER),
        Case(script="refund-parts", hooks=Hooks.LOST, fault=(Fault.ERROR_DONE, 3)),
        Case(script="pay", hooks=Hooks.EARLY, strikes=((How.KILL, 3), (How.CUT, 17))),
        Case(script="void", hooks=Hooks.LATE, strikes=((How.STALL, 20),), rival=Rival.OTHER),
    ],
    ids=lambda case: case.name,
)
def test_a_name_holds_all_of_a_case(case: Case) -> None:
    assert Case.parse(case.name) == case


def test_a_run_is_the_same_each_time(runner: Runner, faults_loop: asyncio.AbstractEventLoop) -> None:
    case = Case(script="refund-fails-late", hooks=Hooks.DOUBLED, fault=(Fault.LOST, 1), strikes=((How.KILL, 30),))
    first = faults_loop.run_until_complete(runner.run(case))
    second = faults_loop.run_until_complete(runner.run(case))
    # The number of the run is a part of the names of its events.
    assert [(point.process, point.what) for point in first.points] == [
        (point.process, point.what) for point in second.points
    ]
    assert first.violations == second.violations == []
