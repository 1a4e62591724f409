"""How much work is open: the figures by which somebody sees from afar whether all goes well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from domain.messaging.webhook_events import EventState


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWork:
    """Numbers of rows, and ages in seconds that are 0 where there is nothing.

    `webhook_events` has the states of events that are not done with; the others grow with the history.
    """

    attempts_open: int
    attempts_unresolved: int
    attempts_manual: int
    attempts_parked: int
    oldest_open_attempt_seconds: float
    webhook_events: Mapping[EventState, int]
    oldest_waiting_event_seconds: float
    discrepancies_open: int
    refunds_to_approve: int


class OpenWorkReader(Protocol):
    """Counts what is open."""

    async def open_work(self) -> OpenWork:
        """The figures of now, in one statement that reads little more than what is open. Raises domain.errors.Unavailable."""
        ...
