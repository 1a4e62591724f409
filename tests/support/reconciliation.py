"""Reconciliation, put together over the fake processor and real storage."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.access import Actor
from domain.payments.transaction import Transaction
from domain.reconciliation.cure import Cure
from domain.reconciliation.discrepancies import SETTLING_TIME, Discrepancy, DiscrepancyKind, Resolution, Subject
from domain.reconciliation.examination import Examination, Examined
from domain.reconciliation.reconcile import DryReport, Reconcile, RunReport
from domain.reconciliation.records import ProcessorRecords, Window
from domain.reconciliation.slices import Slices
from persistence.own_records import SqlOwnRecords
from tests.support.acts import Acts
from tests.support.clock import START
from tests.support.database import past_triggers, rows
from tests.support.fake_records import FakeRecords


@dataclass(slots=True, kw_only=True)
class Books:
    """Both sides, and reconciliation between them. What was made with `acts` is a day old when it is compared."""

    acts: Acts
    account_is_ours_alone: bool = False
    pauses: list[timedelta] = field(default_factory=list)
    records: ProcessorRecords = field(init=False)
    reconcile: Reconcile = field(init=False)

    def __post_init__(self) -> None:
        self.records = FakeRecords(self.acts.gateway)
        self.assemble()

    def assemble(self) -> None:
        """Put reconciliation together anew, after a part was exchanged."""
        acts, own = self.acts, SqlOwnRecords(self.acts.engine)
        self.reconcile = Reconcile(
            units=acts.units,
            slices=Slices(self.records, own, account_is_ours_alone=self.account_is_ours_alone),
            examination=Examination(acts.gateway, own, account_is_ours_alone=self.account_is_ours_alone),
            cure=Cure(acts.refresh),
            clock=acts.clock,
            ids=acts.ids,
            pause=self._pause,
        )

    async def _pause(self, time: timedelta) -> None:
        self.pauses.append(time)
        self.acts.clock.advance(time)

    @property
    def window(self) -> Window:
        """From the start of the test to now, and a little more."""
        return Window(START - timedelta(hours=1), self.acts.clock.now() + timedelta(hours=1))

    def settle(self) -> None:
        """Let so much time pass that nothing is under way any more."""
        self.acts.clock.advance(SETTLING_TIME + timedelta(seconds=1))

    async def run(self) -> RunReport:
        """Reconcile everything, once it has settled."""
        self.settle()
        return await self.reconcile(self.window)

    async def dry_run(self) -> DryReport:
        self.settle()
        return await self.reconcile.dry_run(self.window)

    async def examine(self, subject: Subject) -> Examined:
        """Look at one subject, without any consequence."""
        now = self.acts.clock.now()
        own = SqlOwnRecords(self.acts.engine)
        look = Examination(self.acts.gateway, own, account_is_ours_alone=self.account_is_ours_alone)
        return await look(subject, settled_before=now - SETTLING_TIME)

    async def paid(self, payer: Actor, key: str = "key-1") -> Transaction:
        return await self.acts.paid(payer, key)

    async def sql(self, statement: str, **parameters: object) -> None:
        """Change our side past every rule, as a mistake would have done."""
        async with past_triggers(self.acts.engine) as connection:
            await connection.execute(text(statement), parameters)

    async def stored(self) -> list[tuple[str, str | None]]:
        """The kind of each discrepancy with its resolution, oldest first."""
        found = await rows(self.acts.engine, "SELECT kind, resolution FROM discrepancies ORDER BY first_seen_at, id")
        return [(str(kind), None if how is None else str(how)) for kind, how in found]


def kinds(report: RunReport | DryReport) -> list[DiscrepancyKind]:
    """The kinds of what was found."""
    if isinstance(report, DryReport):
        return [difference.kind for difference in report.differences]
    return [discrepancy.difference.kind for discrepancy in report.discrepancies]


def the_one(report: RunReport) -> Discrepancy:
    [found] = report.discrepancies
    return found


def cured(report: RunReport) -> list[DiscrepancyKind]:
    return [each.difference.kind for each in report.discrepancies if each.resolution is Resolution.CURED]


@pytest.fixture
def books(acts: Acts) -> Books:
    return Books(acts=acts)
