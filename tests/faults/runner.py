"""Runs cases, and finds them: a run without strikes tells at which points there is something to strike."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from unittest.mock import patch

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from domain import leases
from domain.audit_chain import verify as verify_audit
from domain.ledger.verify import verify as verify_ledger
from persistence.audit_chain import SqlAuditChains
from persistence.engine import open_engine
from persistence.schema import migrate
from persistence.stored_ledger import SqlStoredLedger
from tests.faults.acts import Assembly, as_it_is
from tests.faults.books import Observer
from tests.faults.cases import Case
from tests.faults.invariants import Violation, violations_of
from tests.faults.process import watched
from tests.faults.scripts import SCRIPTS
from tests.faults.timeline import Point
from tests.faults.world import open_world
from tests.support.database import patient_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to.

    `keyed` says of each call to the processor whether it had an idempotency key, `first_trouble` is the number of the point
    after the call that went wrong, and `has_other` tells that the script has something else to be asked for meanwhile.
    """

    case: Case
    points: Sequence[Point]
    struck: Sequence[Point]
    keyed: Sequence[bool]
    first_trouble: int
    has_other: bool
    violations: Sequence[Violation]
    trace: Sequence[str]

    def report(self) -> str:
        """Everything about the run, to be read."""
        broken = [f"  {violation}" for violation in self.violations] or ["  nothing is broken"]
        return "\n".join([self.case.name, *self.trace, *broken])


class Runner:
    """Runs one case after the other on one database."""

    def __init__(self, engine: AsyncEngine, observer: Observer) -> None:
        self._engine = engine
        self._observer = observer
        self._runs = 0

    async def run(self, case: Case, assembly: Assembly = as_it_is) -> Outcome:
        self._runs += 1
        script = SCRIPTS[case.script]
        world = await open_world(case, engine=self._engine, observer=self._observer, run=self._runs, assembly=assembly)
        try:
            await script.play(world)
            await world.finish()
            violations = await violations_of(world, script)
            missed = len(case.strikes) - len(world.timeline.struck)
            assert missed == 0, (
                f"{case.name}: {missed} strikes had nowhere to strike; is the run not the same each time?"
            )
        finally:
            await world.books.retire()
        timeline = world.timeline
        return Outcome(
            case=case,
            points=timeline.points,
            struck=timeline.struck,
            keyed=world.gateway.keyed,
            first_trouble=world.gateway.first_trouble,
            has_other=world.other is not None,
            violations=violations,
            trace=timeline.trace,
        )

    async def verify(self) -> None:
        """Check what `florin audit verify` and `florin ledger verify` check, over all runs so far."""
        audit = await verify_audit(SqlAuditChains(self._engine), {})
        assert audit.breaches == [], audit.breaches
        ledger = await verify_ledger(SqlStoredLedger(self._engine), lambda *_: None)
        assert ledger.differences == (), ledger.differences


@asynccontextmanager
async def open_runner(database_url: str) -> AsyncIterator[Runner]:
    """A runner on a database, which it migrates."""
    engine = open_engine(patient_config(database_url))
    connection = await asyncpg.connect(database_url)
    observer = Observer(connection)
    try:
        await migrate(engine)
        # A process that stands still does so as a whole: no part of it renews leases meanwhile.
        with patch.object(leases, "HEARTBEAT", timedelta(days=1)), watched(engine, observer.wait_until_gone):
            yield Runner(engine, observer)
    finally:
        await connection.close()
        await engine.dispose()
