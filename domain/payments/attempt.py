"""An attempt: one thing asked of the processor, and how far it got.

Each is a row written before the first byte is sent, so that whoever comes next (the request, the worker, another
worker after a crash) goes on from the step it finds.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from domain.ids import AttemptId, RefundId, TransactionId
from domain.payments.transaction import Failure


class AttemptKind(StrEnum):
    """What is asked of the processor."""

    CHARGE = "CHARGE"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"


class AttemptStep(StrEnum):
    """What has to be done next: a charge is created unconfirmed, then confirmed; all others are sent in one step.

    A charge whose confirmation was rejected is fenced off: canceled, so that it stays failed.
    """

    CREATE = "CREATE"
    CONFIRM = "CONFIRM"
    FENCE = "FENCE"
    SEND = "SEND"


class AttemptState(StrEnum):
    """OPEN until the outcome is definite; MANUAL where only a person can decide; PARKED where it kills who works on it."""

    OPEN = "OPEN"
    DONE = "DONE"
    MANUAL = "MANUAL"
    PARKED = "PARKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt as stored. `amount` is in minor units of the transaction's currency, where the kind has one.

    `tries` counts claims; it fences off a worker whose lease another has taken over. `failure` is why a charge is being
    fenced off. `key_age` is how long the processor may have known the attempt's idempotency keys when it was claimed: the
    time since the attempt was stored, which is before anything was sent, by the database's clock.
    """

    id: AttemptId
    kind: AttemptKind
    transaction_id: TransactionId
    refund_id: RefundId | None = None
    amount: int | None = None
    step: AttemptStep
    state: AttemptState = AttemptState.OPEN
    tries: int = 1
    failure: Failure | None = None
    key_age: timedelta = field(default=timedelta(0), compare=False)

    @property
    def is_left(self) -> bool:
        """Whether it was left to a person: no worker takes it up any more."""
        return self.state in {AttemptState.MANUAL, AttemptState.PARKED}

    def key(self, call: str) -> str:
        """The processor's idempotency key of one call: the same for every repetition, whoever repeats it."""
        return f"{self.id.hex}:{call}"


FIRST_RECHECK = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)

DEATHS_MAX = 5
"""After so many claims in a row that ended without a word, an attempt or a webhook event is parked."""

UNRESOLVED_AFTER = timedelta(minutes=15)
"""After so long without an answer, or without anybody having looked when it was due, an attempt needs attention."""


class Attention(StrEnum):
    """Why a person should look at an attempt."""

    UNRESOLVED = "UNRESOLVED"
    MANUAL = "MANUAL"
    PARKED = "PARKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An attempt that began to need attention. `age` is the time since it was stored."""

    attempt_id: AttemptId
    transaction_id: TransactionId
    kind: AttemptKind
    attention: Attention
    age: timedelta
    reason: str | None


RESEND_WINDOW = timedelta(hours=23)
"""Stripe keeps idempotency keys for at least 24 h; within this window the same key cannot act twice."""


def pause_before_recheck(tries: int) -> timedelta:
    """How long to wait after the given number of tries: 5 s, then twice as long each time, at most an hour, for ever."""
    return min(FIRST_RECHECK * (1 << min(max(tries, 1) - 1, 20)), LONGEST_PAUSE)
