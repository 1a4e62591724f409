"""The harness fails when it should: each kept broken variant breaks the invariants that it must break."""

import asyncio
from collections import Counter

import pytest

from tests.faults.broken.trials import TRIALS, Trial
from tests.faults.invariants import Invariant
from tests.faults.runner import Runner


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
    first = await runner.run(trial.base, trial.design)
    broken = Counter({violation.invariant for violation in first.violations})
    for case in trial.cases(first):
        if trial.breaks and trial.breaks <= set(broken):
            break
        outcome = await runner.run(case, trial.design)
        broken.update({violation.invariant for violation in outcome.violations})
    return broken
