"""The harness fails when it should: each kept broken variant breaks the invariants that it must break.

The first variants are those of docs/faults.md's table, which compares designs; one of them is sound.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.faults.broken.keys import FreshKeys, RefundsResent, client_keys_forgotten
from tests.faults.broken.one_step import OneStep, OneStepFreshKeys
from tests.faults.broken.order import call_first, refunds_unreserved
from tests.faults.broken.outcomes import EveryErrorIsFinal, GivesUp, NoFence, StaleReportsApplied, payloads_trusted
from tests.faults.broken.parts import with_outcomes, with_runner
from tests.faults.cases import Case, Hooks, Rival
from tests.faults.invariants import Invariant
from tests.faults.processor import Fault
from tests.faults.runner import Outcome, Runner
from tests.faults.timeline import How
from tests.faults.world import Assembly, as_it_is

# What the processor still knows under the key when it is asked again within a day, and what it has forgotten by then.
WITHIN_A_DAY = (Fault.DROPPED, Fault.LOST, Fault.STORM, Fault.IN_FLIGHT)
BEYOND_A_DAY = (Fault.OUTAGE, Fault.OUTAGE_DONE, Fault.ERROR_DONE, Fault.ERROR_UNDONE)

_I = Invariant


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A design, what it is tried with, and invariants that it breaks. One that names none is sound."""

    design: Assembly
    script: str
    faults: tuple[Fault, ...] = ()
    kills: bool = False
    rival: Rival | None = None
    hooks: Hooks = Hooks.LOST
    breaks: frozenset[Invariant] = frozenset()


TRIALS = {
    "two steps": Trial(design=as_it_is, script="pay", faults=WITHIN_A_DAY, kills=True),
    "two steps, beyond a day": Trial(design=as_it_is, script="pay", faults=BEYOND_A_DAY, kills=True),
    "two steps with fresh keys": Trial(
        design=with_runner(FreshKeys), script="pay", faults=(*WITHIN_A_DAY, *BEYOND_A_DAY), kills=True
    ),
    "one step": Trial(design=with_runner(OneStep), script="pay", faults=WITHIN_A_DAY, kills=True),
    "one step, beyond a day": Trial(
        design=with_runner(OneStep),
        script="pay",
        faults=BEYOND_A_DAY,
        breaks=frozenset({_I.ONE_CHARGE, _I.BOOKS}),
    ),
    "one step with fresh keys": Trial(
        design=with_runner(OneStepFreshKeys),
        script="pay",
        faults=WITHIN_A_DAY,
        breaks=frozenset({_I.ONE_CHARGE, _I.BOOKS}),
    ),
    "every error is final": Trial(
        design=with_runner(EveryErrorIsFinal),
        script="pay",
        faults=WITHIN_A_DAY,
        breaks=frozenset({_I.END, _I.BOOKS}),
    ),
    "looking is given up": Trial(
        design=with_runner(GivesUp),
        script="pay",
        faults=BEYOND_A_DAY,
        breaks=frozenset({_I.END, _I.ANSWERED, _I.AT_REST}),
    ),
    "the call before the commit": Trial(
        design=call_first, script="pay", kills=True, breaks=frozenset({_I.ONE_CHARGE, _I.BOOKS, _I.NO_SURPRISE})
    ),
    "the client's keys forgotten": Trial(
        design=client_keys_forgotten, script="pay", kills=True, breaks=frozenset({_I.KEPT})
    ),
    "no cancel fence": Trial(
        design=with_runner(NoFence),
        script="challenge-failed",
        hooks=Hooks.AFTER,
        breaks=frozenset({_I.BOOKS}),
    ),
    "refunds without reservation": Trial(
        design=refunds_unreserved,
        script="refund-exceeding",
        rival=Rival.OTHER,
        breaks=frozenset({_I.BOOKS, _I.ANSWERED, _I.AT_REST, _I.NO_SURPRISE}),
    ),
    "refunds sent again without looking": Trial(
        design=with_runner(RefundsResent),
        script="refund-parts",
        faults=BEYOND_A_DAY,
        breaks=frozenset({_I.ONE_REFUND, _I.BOOKS}),
    ),
    "stale reports applied": Trial(
        design=with_outcomes(StaleReportsApplied),
        script="refund-overtakes",
        rival=Rival.OTHER,
        breaks=frozenset({_I.BOOKS, _I.END}),
    ),
    "payloads trusted": Trial(
        design=payloads_trusted, script="refund-parts", hooks=Hooks.REVERSED, breaks=frozenset({_I.BOOKS, _I.END})
    ),
}


@pytest.mark.parametrize("name", TRIALS)
def test_a_design_breaks_what_it_must_break(
    name: str, trial_runner: Runner, faults_loop: asyncio.AbstractEventLoop
) -> None:
    trial = TRIALS[name]
    broken = faults_loop.run_until_complete(_broken_by(trial_runner, trial))
    assert trial.breaks <= set(broken), broken
    # A sound design breaks nothing.
    assert trial.breaks or not broken, broken


async def _broken_by(runner: Runner, trial: Trial) -> Counter[Invariant]:
    """How many cases break each invariant; no more cases are tried once all have been broken that must be."""
    base = Case(script=trial.script, hooks=trial.hooks)
    first = await runner.run(base, trial.design)
    broken = Counter({violation.invariant for violation in first.violations})
    for case in _cases(trial, base, first):
        if trial.breaks and trial.breaks <= set(broken):
            break
        outcome = await runner.run(case, trial.design)
        broken.update({violation.invariant for violation in outcome.violations})
    return broken


def _cases(trial: Trial, base: Case, first: Outcome) -> Iterator[Case]:
    for call, keyed in enumerate(first.keyed):
        if keyed:
            yield from (replace(base, fault=(fault, call)) for fault in trial.faults)
    for point in first.points:
        if trial.kills:
            yield replace(base, strikes=((How.KILL, point.number),))
        if trial.rival is not None:
            yield replace(base, strikes=((How.STALL, point.number),), rival=trial.rival)
