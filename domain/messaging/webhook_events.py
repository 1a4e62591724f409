"""Webhook events as they come in: stored once, answered, and applied later as a hint to look again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.ids import TransactionId


class EventSubject(StrEnum):
    """What kind of object a processor's event is about."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    OTHER = "OTHER"


class EventState(StrEnum):
    """Where an event stands. QUARANTINED and PARKED need a person; IGNORED is kept but says nothing to us."""

    RECEIVED = "RECEIVED"
    APPLIED = "APPLIED"
    IGNORED = "IGNORED"
    QUARANTINED = "QUARANTINED"
    PARKED = "PARKED"


PUT_ASIDE = frozenset({EventState.IGNORED, EventState.QUARANTINED, EventState.PARKED})
"""The states of events that changed nothing, and that a person may have applied after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """A verified event. `reference` is the processor's id of the object that changed; None where it names none.

    `account` is the processor's account that it is of, where the event says so. `tries` counts claims; `failures` counts
    those at the end of them that ended in an error of ours or, because their process died, in no word at all.
    """

    id: str
    type: str
    subject: EventSubject
    reference: str | None
    account: str | None = None
    live: bool
    created_at: datetime
    body: bytes
    tries: int = 0
    failures: int = 0
    state: EventState = EventState.RECEIVED
    transaction_id: TransactionId | None = None


class WorkerBell(Protocol):
    """Wakes the workers, because a stored event waits for them."""

    def ring(self) -> None:
        """Wake them soon, without waiting for it. They look each second all the same, so that a ring may be lost."""
        ...


class InvalidSignature(Exception):
    """The message is not one that the processor signed for us lately, or no event at all."""


class WebhookVerifier(Protocol):
    """The processor's way to prove that a message is its own."""

    def verify(self, body: bytes, signatures: Sequence[str], *, now: datetime) -> WebhookEvent:
        """The event in a message. `signatures` are the values of all signature headers.

        Raises InvalidSignature for anything but a well-formed event under a valid, fresh signature.
        """
        ...
