"""What can be seen of attempts: where each stands with its recovery, and which of them need a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.access import Scope
from domain.ids import AttemptId, RefundId, TransactionId
from domain.payments.attempt import AttemptKind
from domain.payments.queries import Page, PageRequest


class RecoveryState(StrEnum):
    """Where an attempt stands, as a person wants to know it; the graver ones come later."""

    DONE = "DONE"
    IN_PROGRESS = "IN_PROGRESS"
    WAITING = "WAITING"
    UNRESOLVED = "UNRESOLVED"
    MANUAL = "MANUAL"
    PARKED = "PARKED"


GRAVITY = {state: gravity for gravity, state in enumerate(RecoveryState)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """An attempt as it is shown. `tries` counts how often it was taken up; `next_check_at` is None where it will not be."""

    id: AttemptId
    kind: AttemptKind
    transaction_id: TransactionId
    refund_id: RefundId | None
    state: RecoveryState
    tries: int
    reason: str | None
    created_at: datetime
    last_checked_at: datetime
    next_check_at: datetime | None
    unknown_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFilter:
    """Which attempts a list holds, of those that are not done."""

    needs_attention: bool = False
    states: frozenset[RecoveryState] | None = None
    kinds: frozenset[AttemptKind] | None = None
    transaction_id: TransactionId | None = None


ANY_OPEN_ATTEMPT = AttemptFilter()


class AttemptReader(Protocol):
    """Reads of attempts; each is one statement. Attempts themselves are for whoever reaches everybody's: others find none."""

    async def recoveries_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, AttemptView]:
        """Of each transaction's attempts that are not done the gravest; of several as grave the oldest. For owners too."""
        ...

    async def attempts_by_ids(self, ids: Sequence[AttemptId], scope: Scope) -> dict[AttemptId, AttemptView]: ...

    async def attempts(self, where: AttemptFilter, page: PageRequest, scope: Scope) -> Page[AttemptView]:
        """Attempts that are not done, oldest first."""
        ...

    async def count_attempts(self, where: AttemptFilter, scope: Scope) -> int: ...
