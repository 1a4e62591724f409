"""Designs to try: Florin's own, those that docs/faults.md compares it with, and the broken ones of this folder.

    python -m tests.faults.broken.trials

tries each with all its cases and prints how many of them break something.
"""

import asyncio
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.embedded_postgres import EmbeddedPostgres
from tests.faults.acts import Assembly, as_it_is
from tests.faults.broken.keys import FreshKeys, RefundsResent, client_keys_forgotten
from tests.faults.broken.one_step import OneStep, OneStepFreshKeys
from tests.faults.broken.order import call_first, refunds_unreserved
from tests.faults.broken.outcomes import EveryErrorIsFinal, GivesUp, NoFence, StaleReportsApplied, payloads_trusted
from tests.faults.broken.parts import with_outcomes, with_runner
from tests.faults.cases import Case, Hooks, Rival
from tests.faults.invariants import Invariant
from tests.faults.processor import Fault
from tests.faults.runner import Outcome, open_runner
from tests.faults.timeline import How
from tests.support.postgres import throwaway_folder

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

    @property
    def base(self) -> Case:
        return Case(script=self.script, hooks=self.hooks)

    def cases(self, first: Outcome) -> Iterator[Case]:
        """The cases beside the one in which nothing goes wrong, found from how that one went."""
        for call, keyed in enumerate(first.keyed):
            if keyed:
                yield from (replace(self.base, fault=(fault, call)) for fault in self.faults)
        for point in first.points:
            if self.kills:
                yield replace(self.base, strikes=((How.KILL, point.number),))
            if self.rival is not None:
                yield replace(self.base, strikes=((How.STALL, point.number),), rival=self.rival)


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
        kills=True,
        breaks=frozenset({_I.ONE_CHARGE, _I.BOOKS}),
    ),
    "one step with fresh keys": Trial(
        design=with_runner(OneStepFreshKeys),
        script="pay",
        faults=WITHIN_A_DAY,
        kills=True,
        breaks=frozenset({_I.ONE_CHARGE, _I.BOOKS}),
    ),
    "every error is final": Trial(
        design=with_runner(EveryErrorIsFinal),
        script="pay",
        faults=WITHIN_A_DAY,
        kills=True,
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


async def _table(database_url: str) -> None:
    async with open_runner(database_url) as runner:
        for name, trial in TRIALS.items():
            first = await runner.run(trial.base, trial.design)
            outcomes = [first, *[await runner.run(case, trial.design) for case in trial.cases(first)]]
            broken = sum(bool(outcome.violations) for outcome in outcomes)
            sys.stdout.write(f"{name:<36}{broken:>4} / {len(outcomes)}\n")
            sys.stdout.flush()


def main() -> None:
    """Print the table."""
    folder = throwaway_folder()
    try:
        with EmbeddedPostgres(folder, throwaway=True) as postgres:
            asyncio.run(_table(postgres.url))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
