"""Sweeps: what the worker does at intervals over everything, to find what no event and no attempt would tell of.

Each runs in one process at a time: its row in the table of sweeps is leased, as attempts are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRun:
    """One claimed run. `runs` counts claims, and fences off a process whose lease another has taken over.

    `started_at` is the database's time, so that no process's own clock can make a sweep leave something out. `mark` is
    where the last finished run said that the next one begins; None for the first.
    """

    name: str
    runs: int
    started_at: datetime
    mark: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """How a run ended: the next one's mark, what was found (for the log), and whether there is more to do at once."""

    mark: datetime | None = None
    found: Mapping[str, int] = field(default_factory=dict)
    more: bool = False


class Sweep(Protocol):
    """Something to do at intervals. A run that raises is repeated later with the same mark."""

    @property
    def name(self) -> str:
        """The name of its row, and in the log."""
        ...

    @property
    def interval(self) -> timedelta:
        """How long after the beginning of one run the next is due."""
        ...

    async def __call__(self, run: SweepRun) -> SweepResult: ...


class SweepRepository(Protocol):
    """When each sweep ran and runs again."""

    async def claim_due(self, intervals: Mapping[str, timedelta], limit: int) -> list[SweepRun]:
        """Claim at most `limit` of the named sweeps that are due. One whose process dies is due again an interval later."""
        ...

    async def renew(self, run: SweepRun) -> None:
        """Hold the claim for another lease. Raises LeaseLost."""
        ...

    async def finish(self, run: SweepRun, mark: datetime | None, next_in: timedelta) -> None:
        """End a run: the next is due so long from now. Raises LeaseLost."""
        ...
