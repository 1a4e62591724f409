"""Puts a variant together: Florin as it is, with one part exchanged."""

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.payments.outcomes import Outcomes
from domain.payments.runner import AttemptRunner
from tests.faults.acts import Assembly, FaultyActs, as_it_is
from tests.faults.processor import FaultyGateway
from tests.support.clock import SequentialIds


def with_runner(variant: type[AttemptRunner]) -> Assembly:
    """Florin with another AttemptRunner."""

    def assemble(engine: AsyncEngine, processor: FaultyGateway, ids: SequentialIds) -> FaultyActs:
        acts = as_it_is(engine, processor, ids)
        exchange(acts, "_runner", variant(acts.units, processor, acts.outcomes, acts.clock))
        return acts

    return assemble


def with_outcomes(variant: type[Outcomes]) -> Assembly:
    """Florin with other Outcomes."""

    def assemble(engine: AsyncEngine, processor: FaultyGateway, ids: SequentialIds) -> FaultyActs:
        acts = as_it_is(engine, processor, ids)
        outcomes = variant(acts.clock, ids, alerts=acts.alerts, live=acts.live)
        exchange(acts, "_outcomes", outcomes)
        exchange(acts, "_runner", AttemptRunner(acts.units, processor, outcomes, acts.clock))
        return acts

    return assemble


def exchange(acts: FaultyActs, name: str, part: object) -> None:
    """Give every act that has a part of this name another one."""
    for act in (
        acts.create_payment,
        acts.refund_payment,
        acts.decide_refund,
        acts.authorized,
        acts.recovery,
        acts.refresh,
    ):
        if hasattr(act, name):
            setattr(act, name, part)
