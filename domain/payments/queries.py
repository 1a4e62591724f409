"""What can be read, and how lists are cut into pages. Reading never decides about money: that happens under lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from domain.access import Scope
from domain.audit import AuditEntry
from domain.currencies import Currency
from domain.identity.users import User
from domain.ids import AuditEntryId, DisputeId, RefundId, TransactionId, UserId
from domain.payments.dispute import Dispute
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import Transaction, TransactionStatus

T = TypeVar("T")

PAGE_SIZE_MAX = 100
PAGE_SIZE_DEFAULT = 20


class OrderField(StrEnum):
    """By what a list of transactions is ordered."""

    CREATED_AT = "CREATED_AT"
    AMOUNT = "AMOUNT"


class OrderDirection(StrEnum):
    """Which end of a list comes first."""

    ASC = "ASC"
    DESC = "DESC"


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list; ties are broken by id, in the same direction."""

    field: OrderField = OrderField.CREATED_AT
    direction: OrderDirection = OrderDirection.DESC


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an ordered list: the value it is ordered by (a time, or minor units) and the id that breaks ties."""

    value: datetime | int
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A piece of a list: the first `size` items after `after`, or the last `size` before `before`."""

    size: int
    after: Position | None = None
    before: Position | None = None
    from_end: bool = False


FIRST_PAGE = PageRequest(size=PAGE_SIZE_DEFAULT)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in list order, whatever end was asked for, each with its place in the list."""

    items: Sequence[T]
    positions: Sequence[Position]
    has_previous: bool
    has_next: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFilter:
    """Which transactions a list holds. Amounts are in major units and apply to every currency alike."""

    statuses: frozenset[TransactionStatus] | None = None
    currencies: frozenset[Currency] | None = None
    user_id: UserId | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    amount_min: Decimal | None = None
    amount_max: Decimal | None = None
    text: str | None = None
    needs_attention: bool | None = None


ANY_TRANSACTION = TransactionFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFilter:
    """Which refunds a list holds."""

    statuses: frozenset[RefundStatus] | None = None
    needs_approval: bool | None = None
    transaction_id: TransactionId | None = None


ANY_REFUND = RefundFilter()


class Reader(Protocol):
    """Reads for lists, nodes and dataloaders; each call borrows a connection of its own and gives it back.

    Every read takes the scope of whoever asks. What is out of scope is left out, exactly as if it did not exist.
    """

    async def transactions_by_ids(
        self, ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, Transaction]: ...

    async def transactions(
        self, scope: Scope, where: TransactionFilter, order: Order, page: PageRequest
    ) -> Page[Transaction]: ...

    async def count_transactions(self, scope: Scope, where: TransactionFilter) -> int: ...

    async def users_by_ids(self, ids: Sequence[UserId], scope: Scope) -> dict[UserId, User]: ...

    async def refunds_by_ids(self, ids: Sequence[RefundId], scope: Scope) -> dict[RefundId, Refund]: ...

    async def refunds(self, scope: Scope, where: RefundFilter, page: PageRequest) -> Page[Refund]:
        """A page of refunds, the latest first."""
        ...

    async def count_refunds(self, scope: Scope, where: RefundFilter) -> int: ...

    async def refunds_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[Refund]]:
        """The same piece of each transaction's refunds, oldest first, in one statement."""
        ...

    async def count_refunds_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]: ...

    async def audit_entries_by_ids(
        self, ids: Sequence[AuditEntryId], scope: Scope
    ) -> dict[AuditEntryId, AuditEntry]: ...

    async def audit_log_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[AuditEntry]]:
        """The same piece of each transaction's audit log, oldest first, in one statement."""
        ...

    async def count_audit_log_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]: ...

    async def transactions_of_users(
        self, user_ids: Sequence[UserId], page: PageRequest, scope: Scope
    ) -> dict[UserId, Page[Transaction]]:
        """The same piece of each user's transactions, newest first, in one statement."""
        ...

    async def count_transactions_of_users(self, user_ids: Sequence[UserId], scope: Scope) -> dict[UserId, int]: ...


class DisputeReader(Protocol):
    """Reads of disputes, scoped as those of Reader are."""

    async def disputes_by_ids(self, ids: Sequence[DisputeId], scope: Scope) -> dict[DisputeId, Dispute]: ...

    async def disputes_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[Dispute]]:
        """The same piece of each transaction's disputes, oldest first, in one statement."""
        ...

    async def count_disputes_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]: ...
