"""Cases and their names: a name holds everything that a case is, so that it can be run again from its name alone."""

from dataclasses import dataclass
from enum import StrEnum

from tests.faults.processor import Fault
from tests.faults.timeline import How


class Hooks(StrEnum):
    """When the processor's events arrive."""

    EARLY = "early"
    """Before the answer of the call that caused them."""
    AFTER = "after"
    """After each act."""
    DOUBLED = "doubled"
    """After each act, each twice."""
    REVERSED = "reversed"
    """When everything is over, the last one first."""
    LATE = "late"
    """A day after everything was over."""
    LOST = "lost"
    """Not at all, until a sweep of the processor's list brings them."""


class Rival(StrEnum):
    """Who goes on while a process stands still."""

    WORKER = "worker"
    """Its lease is over: a worker takes up its attempt, and the events that have come."""
    TWIN = "twin"
    """The client asks again with the same key."""
    OTHER = "other"
    """Somebody asks for something else of the same payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run: a script, when events arrive, what goes wrong at one call, and what strikes at which points."""

    script: str
    hooks: Hooks
    fault: tuple[Fault, int] | None = None
    strikes: tuple[tuple[How, int], ...] = ()
    rival: Rival | None = None

    @property
    def name(self) -> str:
        parts = [self.script, self.hooks.value]
        if self.fault is not None:
            parts.append(f"{self.fault[0]}@{self.fault[1]}")
        parts += [f"{how}@{point}" for how, point in self.strikes]
        if self.rival is not None:
            parts.append(self.rival.value)
        return "/".join(parts)

    @classmethod
    def parse(cls, name: str) -> "Case":
        """The case of this name. Raises ValueError for a text that names none."""
        script, hooks, *rest = name.split("/")
        fault: tuple[Fault, int] | None = None
        strikes: list[tuple[How, int]] = []
        rival: Rival | None = None
        for part in rest:
            what, _, number = part.partition("@")
            if not number:
                rival = Rival(what)
            elif what in list(How):
                strikes.append((How(what), int(number)))
            else:
                fault = (Fault(what), int(number))
        return cls(script=script, hooks=Hooks(hooks), fault=fault, strikes=tuple(strikes), rival=rival)
