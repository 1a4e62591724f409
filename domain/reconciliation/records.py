"""What the processor has on record for a span of time: the port through which reconciliation reads the processor's lists.

Unlike `PaymentGateway`, which asks about one charge at a time, this reads everything on the account, whoever made it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from domain.money import Money
from domain.payments.gateway import ChargeReport, DisputeReport, RefundReport

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time: `start` belongs to it, `end` does not. Both are whole seconds, as the processor counts time.

    Raises ValueError where the end is not after the start, or where either is between two seconds.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.microsecond or self.end.microsecond:
            raise ValueError("A window begins and ends with a whole second.")
        if self.end <= self.start:
            raise ValueError("A window ends after it begins.")

    def holds(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    @property
    def length(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Dated(Generic[R]):
    """A report with the moment at which the processor made the object that it is about."""

    report: R
    created_at: datetime


class BalanceEntryKind(StrEnum):
    """Why money moved on our account with the processor."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    REFUND_FAILURE = "REFUND_FAILURE"
    DISPUTE = "DISPUTE"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceEntry:
    """A line of our account with the processor (Stripe: a balance transaction), in the currency that it settles in.

    `money` is negative where money leaves; `net` is what is left of it after `fee`, both in minor units of its currency.
    `source` is the charge, refund or dispute behind it, as it is now; None for what is none of them, such as a payout.
    """

    reference: str
    kind: BalanceEntryKind
    money: Money
    fee: int
    net: int
    created_at: datetime
    source: ChargeReport | RefundReport | DisputeReport | None


class ProcessorRecords(Protocol):
    """The processor's lists. An object is in the window in which it was made, whenever it changed since.

    Each list comes newest first, holds every object of the window at least once, and is read as it is asked for: a page at a
    time, so that memory does not grow with the window. Every method may raise OutcomeUnknown or RequestRejected, at any
    object.
    """

    def charges(self, window: Window) -> AsyncIterator[Dated[ChargeReport]]:
        """Every charge, confirmed or not."""
        ...

    def refunds(self, window: Window) -> AsyncIterator[Dated[RefundReport]]:
        """Every refund, whoever asked for it."""
        ...

    def disputes(self, window: Window) -> AsyncIterator[Dated[DisputeReport]]:
        """Every dispute."""
        ...

    def balance_entries(self, window: Window) -> AsyncIterator[BalanceEntry]:
        """Every movement of money. It tells of objects made long before, whose money moved in the window."""
        ...
