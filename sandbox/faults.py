"""Faults that a test asks for: what goes wrong with the next requests to an endpoint, or with the next webhooks.

They are a part of the state, so a sandbox that keeps its state keeps them too: one that was told to die three times must not
forget after the first. Each is written down as used before it acts, for the same reason.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from sandbox.ids import new_id
from sandbox.store import Store
from sandbox.wire import Json


class FaultKind(StrEnum):
    """What goes wrong. The words are those of the control endpoint."""

    # Before anything is done; nothing is kept under the idempotency key.
    DROP_REQUEST = "drop_request"
    UNAVAILABLE = "unavailable"
    RATE_LIMIT = "rate_limit"
    KEY_IN_USE = "key_in_use"
    LOCK_TIMEOUT = "lock_timeout"
    DELAY_BEFORE = "delay_before"
    # In the middle of it.
    ERROR_WITHOUT_EFFECT = "error_without_effect"
    ERROR_WITH_EFFECT = "error_with_effect"
    CRASH_BEFORE = "crash_before"
    CRASH_AFTER = "crash_after"
    # After it was done, on the way back; the true answer is kept under the idempotency key.
    DROP_RESPONSE = "drop_response"
    MALFORMED_JSON = "malformed_json"
    TRUNCATED_BODY = "truncated_body"
    HTML_BODY = "html_body"
    DRIP = "drip"
    DELAY_AFTER = "delay_after"
    # To the delivery of an event.
    LOSE = "lose"
    DOUBLE = "double"
    REORDER = "reorder"
    LATE = "late"


# These meet only a request that is really executed, not the repetition of a stored answer.
_IN_EXECUTION = frozenset(
    {
        FaultKind.KEY_IN_USE,
        FaultKind.ERROR_WITHOUT_EFFECT,
        FaultKind.ERROR_WITH_EFFECT,
        FaultKind.CRASH_BEFORE,
        FaultKind.CRASH_AFTER,
    }
)
OF_EVENTS = frozenset({FaultKind.LOSE, FaultKind.DOUBLE, FaultKind.REORDER, FaultKind.LATE})
CRASHES = frozenset({FaultKind.CRASH_BEFORE, FaultKind.CRASH_AFTER})
TIMED = frozenset({FaultKind.DRIP, FaultKind.DELAY_BEFORE, FaultKind.DELAY_AFTER, FaultKind.LATE})

_COLUMNS = "id, kind, target, remaining, probability, seed, seconds, drawn, fired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`target` names endpoints (`payment_intents.confirm`, `refunds.*`, `*`), or types of events.

    `remaining` is how often it will still happen, None for as long as it is there. Each match draws a number from a
    sequence that `seed` determines, and the fault happens if that is below `probability`. `seconds` is the length of a
    delay, or the time over which the bytes drip.
    """

    id: str
    kind: FaultKind
    target: str
    remaining: int | None
    probability: float
    seed: str
    seconds: float
    drawn: int = 0
    fired: int = 0

    def strikes(self) -> bool:
        """What the next draw says. Nothing is kept between draws, so that a restart goes on with the sequence."""
        digest = hashlib.sha256(f"{self.seed}:{self.drawn}".encode()).digest()
        return int.from_bytes(digest[:8]) < self.probability * 2**64

    def shown(self) -> Json:
        return {
            "id": self.id,
            "object": "sandbox.fault",
            "endpoint": None if self.kind in OF_EVENTS else self.target,
            "event": self.target if self.kind in OF_EVENTS else None,
            "fired": self.fired,
            "kind": self.kind.value,
            "matched": self.drawn,
            "probability": self.probability,
            "remaining": self.remaining,
            "seconds": self.seconds if self.kind in TIMED else None,
            "seed": self.seed,
        }


class Faults:
    """The faults that were asked for, oldest first. Those that are used up stay, so that a test can look at them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, *, kind: FaultKind, target: str, remaining: int | None, probability: float, seed: str, seconds: float
    ) -> Fault:
        fault_id = new_id("fault")
        with self._store.transaction():
            self._store.connection.execute(
                "INSERT INTO faults (id, kind, target, remaining, probability, seed, seconds) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (fault_id, kind.value, target, remaining, probability, seed, seconds),
            )
        return _fault((fault_id, kind, target, remaining, probability, seed, seconds, 0, 0))

    def all(self) -> list[Fault]:
        rows = self._store.connection.execute(f"SELECT {_COLUMNS} FROM faults ORDER BY seq").fetchall()  # noqa: S608 - a literal
        return [_fault(row) for row in rows]

    def delete(self, fault_id: str) -> bool:
        """Whether there was one."""
        with self._store.transaction():
            return self._store.connection.execute("DELETE FROM faults WHERE id = ?", (fault_id,)).rowcount == 1

    def clear(self) -> int:
        """How many there were."""
        with self._store.transaction():
            return self._store.connection.execute("DELETE FROM faults").rowcount

    def strike_request(self, endpoint: str, *, keyed: bool, executes: bool) -> Fault | None:
        """The fault that happens to this request: of those that match, the oldest whose draw says so.

        That it was used is on disk when this returns.
        """
        matching = [
            fault
            for fault in self._active(endpoint)
            if fault.kind not in OF_EVENTS
            and (executes or fault.kind not in _IN_EXECUTION)
            and (keyed or fault.kind is not FaultKind.KEY_IN_USE)
        ]
        if not matching:
            return None
        with self._store.transaction():
            return self._draw(matching)

    def strike_event(self, event_type: str) -> Fault | None:
        """The fault that happens to the delivery of this event. Call it in the transaction that makes the event."""
        return self._draw(
            [
                fault
                for fault in self._active(event_type)
                if fault.kind in OF_EVENTS and (fault.kind is not FaultKind.REORDER or not self._holds_back())
            ]
        )

    def _draw(self, matching: list[Fault]) -> Fault | None:
        for fault in matching:
            strikes = fault.strikes()
            self._store.connection.execute(
                "UPDATE faults SET drawn = drawn + 1, fired = fired + ?, remaining = remaining - ? WHERE id = ?",
                (strikes, strikes, fault.id),
            )
            if strikes:
                return fault
        return None

    def _holds_back(self) -> bool:
        """Whether an event waits already for another to pass it: that one must not wait as well."""
        return self._store.connection.execute("SELECT 1 FROM deliveries WHERE held LIMIT 1").fetchone() is not None

    def _active(self, name: str) -> list[Fault]:
        rows = self._store.connection.execute(
            f"SELECT {_COLUMNS} FROM faults WHERE remaining IS NULL OR remaining > 0 ORDER BY seq"  # noqa: S608 - as above
        ).fetchall()
        return [fault for fault in map(_fault, rows) if fnmatchcase(name, fault.target)]


def _fault(row: tuple[str, str, str, int | None, float, str, float, int, int]) -> Fault:
    fault_id, kind, target, remaining, probability, seed, seconds, drawn, fired = row
    return Fault(
        id=fault_id,
        kind=FaultKind(kind),
        target=target,
        remaining=remaining,
        probability=probability,
        seed=seed,
        seconds=seconds,
        drawn=drawn,
        fired=fired,
    )
