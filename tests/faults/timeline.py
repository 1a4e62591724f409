"""The timeline of a run: every await that touches the database or the processor is a numbered point on it.

The points are found by running, not by listing: a new await in the code makes a new point, and with it new cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum


class PointKind(Enum):
    """What is about to happen at a point."""

    STATEMENT = "a statement inside a unit of work"
    READ = "a statement by itself that changes nothing"
    WRITE = "a statement that commits by itself"
    COMMIT = "the commit of a unit of work"
    CALL = "a call to the processor"
    REPLY = "the answer to whoever asked"


class How(StrEnum):
    """What strikes at a point."""

    KILL = "kill"
    """The process is gone before it; its connection is aborted, and nothing of it runs any more."""
    CUT = "cut"
    """The database connection breaks before the server hears of it; the process lives and sees the error."""
    UNHEARD = "unheard"
    """The server commits, then the connection breaks: the process lives and does not know."""
    STALL = "stall"
    """The process stands still before it while leases run out and another does what there is to do."""


STRIKES: Mapping[PointKind, tuple[How, ...]] = {
    PointKind.STATEMENT: (How.KILL, How.CUT),
    PointKind.READ: (How.KILL, How.CUT),
    PointKind.WRITE: (How.KILL, How.CUT, How.UNHEARD),
    PointKind.COMMIT: (How.KILL, How.CUT, How.UNHEARD),
    PointKind.CALL: (How.KILL,),
    PointKind.REPLY: (How.KILL,),
}
"""What can strike at which point. A kill after a point is a kill before the next one: nothing lies between them."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point as it was reached."""

    number: int
    kind: PointKind
    process: str
    what: str


class Timeline:
    """Numbers the points of one run, says what strikes at each, and keeps a trace to be read."""

    def __init__(self, strikes: Mapping[int, How]) -> None:
        self.points: list[Point] = []
        self.trace: list[str] = []
        self.struck: list[Point] = []
        self._strikes = dict(strikes)
        self._closed = False

    def reach(self, process: str, kind: PointKind, what: str) -> How | None:
        """Number a point; what strikes there, if anything does."""
        if self._closed:
            return None
        point = Point(len(self.points), kind, process, what)
        self.points.append(point)
        how = self._strikes.get(point.number)
        self.trace.append(f"{point.number:>4}  {process:<10} {what}{f'   <== {how}' if how else ''}")
        if how is not None:
            self.struck.append(point)
        return how

    def note(self, text: str) -> None:
        """Write a line between the points."""
        self.trace.append(f"      {text}")

    def close(self) -> None:
        """Number no more: what comes now only looks."""
        self._closed = True
