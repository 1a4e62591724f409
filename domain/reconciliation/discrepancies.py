"""Discrepancies: where the processor and we do not say the same, and what became of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain.access import Actor
from domain.ids import DiscrepancyId, ReconciliationRunId, TransactionId, UserId
from domain.money import Money
from domain.payments.queries import Page, PageRequest


class DiscrepancyKind(StrEnum):
    """What does not agree."""

    MISSING_HERE = "MISSING_HERE"
    MISSING_AT_PROCESSOR = "MISSING_AT_PROCESSOR"
    AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
    CURRENCY_DIFFERS = "CURRENCY_DIFFERS"
    FEE_DIFFERS = "FEE_DIFFERS"
    STATUS_DIFFERS = "STATUS_DIFFERS"
    DUPLICATE_CHARGE = "DUPLICATE_CHARGE"
    FOREIGN_CHARGE = "FOREIGN_CHARGE"
    REFUND_MISSING_HERE = "REFUND_MISSING_HERE"
    REFUND_MISSING_AT_PROCESSOR = "REFUND_MISSING_AT_PROCESSOR"
    REFUND_AMOUNT_DIFFERS = "REFUND_AMOUNT_DIFFERS"
    REFUND_STATUS_DIFFERS = "REFUND_STATUS_DIFFERS"
    DUPLICATE_REFUND = "DUPLICATE_REFUND"
    DISPUTE_MISSING_HERE = "DISPUTE_MISSING_HERE"
    DISPUTE_MISSING_AT_PROCESSOR = "DISPUTE_MISSING_AT_PROCESSOR"
    DISPUTE_DIFFERS = "DISPUTE_DIFFERS"
    LEDGER_DIFFERS = "LEDGER_DIFFERS"


_K = DiscrepancyKind

CURABLE = frozenset(
    {
        _K.MISSING_HERE,
        _K.STATUS_DIFFERS,
        _K.FEE_DIFFERS,
        _K.REFUND_MISSING_HERE,
        _K.REFUND_STATUS_DIFFERS,
        _K.DISPUTE_MISSING_HERE,
        _K.DISPUTE_DIFFERS,
    }
)
"""What may be cured by applying what the processor says, as a webhook would have done. Where that contradicts what we know
(money for a failed payment), the discrepancy stays. All others wait for a person."""


class SubjectKind(StrEnum):
    """What kind of object a discrepancy is about."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    LEDGER = "LEDGER"


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that both sides are asked about: one in whatever lists of the processor's it shows.

    `reference` is the processor's id of it; our own id in its public form where the processor has none, and for LEDGER.
    """

    kind: SubjectKind
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that does not agree at this moment. A side that knows of no money has None.

    `summary` is for people, and says both sides in full. `under_way`: our side changed a moment ago, or is about to, so that
    the difference may be one of time only.
    """

    kind: DiscrepancyKind
    subject: Subject
    transaction_id: TransactionId | None
    processor: Money | None
    ours: Money | None
    summary: str
    under_way: bool = False


class Resolution(StrEnum):
    """How a discrepancy ended."""

    CURED = "CURED"
    NO_LONGER_SEEN = "NO_LONGER_SEEN"
    BY_PERSON = "BY_PERSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """A difference as stored: one row for as long as it lasts, however often it is seen.

    `resolved_by` is the administrator's, with the reason that they gave, where a person resolved it.
    """

    id: DiscrepancyId
    difference: Difference
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None = None
    resolution: Resolution | None = None
    resolved_by: UserId | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDiscrepancies:
    """How many wait for a person, and since when the oldest does; None where none waits."""

    number: int
    oldest_first_seen_at: datetime | None


class DiscrepancyRepository(Protocol):
    """Discrepancies, inside a unit of work."""

    async def record(self, new_id: DiscrepancyId, difference: Difference, seen_at: datetime) -> DiscrepancyId:
        """Store a difference, or that it was seen again; its id, which is `new_id` where it is new.

        One that a person has resolved is not opened again while both sides say what they said then. Nor is one that was
        resolved after `seen_at`, when the look at it began: another process was faster.
        """
        ...

    async def resolve_others(
        self,
        subject: Subject,
        seen: Collection[DiscrepancyKind],
        how: Resolution,
        now: datetime,
        *,
        own: Collection[DiscrepancyId] = (),
    ) -> int:
        """Resolve the open discrepancies of a subject whose kinds are not seen any more; how many there were.

        With them those of its `own` that another process has meanwhile taken for gone by themselves.
        """
        ...

    async def get(self, discrepancy_id: DiscrepancyId) -> Discrepancy | None:
        """The discrepancy without a lock, for reading only."""
        ...

    async def lock(self, discrepancy_id: DiscrepancyId) -> Discrepancy | None:
        """The discrepancy under its row's lock."""
        ...

    async def resolve_by_person(
        self, discrepancy_id: DiscrepancyId, resolved_by: UserId, reason: str, now: datetime
    ) -> None:
        """Record that an administrator has settled an open discrepancy."""
        ...

    async def open_subjects(self, seen_before: datetime, limit: int) -> list[Subject]:
        """What open discrepancies are about that have not been seen since, the longest unseen first."""
        ...

    async def count_open(self) -> OpenDiscrepancies: ...

    async def attach(self, run_id: ReconciliationRunId, discrepancy_ids: Collection[DiscrepancyId]) -> None:
        """Note that a run has found them."""
        ...

    async def found_by(self, run_id: ReconciliationRunId) -> list[Discrepancy]:
        """Every discrepancy that a run has found, as it stands now, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscrepancyFilter:
    """Which discrepancies a list holds; all conditions must hold."""

    kinds: frozenset[DiscrepancyKind] | None = None
    resolved: bool | None = None
    transaction_id: TransactionId | None = None
    first_seen_from: datetime | None = None
    first_seen_to: datetime | None = None


ANY_DISCREPANCY = DiscrepancyFilter()


class DiscrepancyReader(Protocol):
    """Reads of discrepancies, for whoever may see them: to anybody else there are none."""

    async def discrepancies_by_ids(
        self, ids: Sequence[DiscrepancyId], actor: Actor
    ) -> dict[DiscrepancyId, Discrepancy]: ...

    async def discrepancies(self, actor: Actor, where: DiscrepancyFilter, page: PageRequest) -> Page[Discrepancy]:
        """A piece of the list, the latest first seen first."""
        ...

    async def count_discrepancies(self, actor: Actor, where: DiscrepancyFilter) -> int: ...


SETTLING_TIME = timedelta(minutes=2)
"""What changed more recently is under way: the other side may hear of it any moment, and nothing is said of it yet."""
