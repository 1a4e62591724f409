"""Runs: one reconciliation of a window, which goes on where it stopped, whatever stopped it."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.ids import ReconciliationRunId
from domain.reconciliation.records import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much was compared: what the processor lists, and our own transactions. What shows in two slices counts in both.

    `foreign` are the charges among them that somebody else has made on the same account.
    """

    charges: int = 0
    refunds: int = 0
    disputes: int = 0
    balance_entries: int = 0
    transactions: int = 0
    foreign: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)})

    @property
    def objects(self) -> int:
        """How many of the processor's objects were read."""
        return self.charges + self.refunds + self.disputes + self.balance_entries


class RunState(StrEnum):
    """RUNNING until the end of the window is reached; ABANDONED where a new one was begun instead."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    ABANDONED = "ABANDONED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationRun:
    """A run as stored. Everything before `cursor` has been compared; `counts` are of that."""

    id: ReconciliationRunId
    window: Window
    cursor: datetime
    counts: Counts
    state: RunState
    started_at: datetime


class RunAbandoned(Exception):
    """Another process has begun the same window anew; this run leads nowhere any more."""


class RunRepository(Protocol):
    """Runs. No lease guards them: whoever works on the same run takes over the cursor from whoever moved it last."""

    async def open(self, new_id: ReconciliationRunId, window: Window, now: datetime) -> ReconciliationRun:
        """The run of this window that is under way, or a new one at its beginning."""
        ...

    async def abandon(self, window: Window, now: datetime) -> None:
        """Leave the run of this window that is under way, if there is one."""
        ...

    async def advance(
        self, run: ReconciliationRun, cursor: datetime, counts: Counts, now: datetime
    ) -> ReconciliationRun:
        """Move the cursor on and add what was compared; where another process has moved it meanwhile, the run as that left it."""
        ...

    async def finish(self, run: ReconciliationRun, now: datetime) -> None: ...
