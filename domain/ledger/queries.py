"""What can be read of the ledger, and by whom: whoever has `ledger:read`. To anybody else it is empty."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.access import Actor
from domain.currencies import Currency
from domain.ids import JournalEntryId, LedgerAccountId, TransactionId, UserId
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import JournalEntry
from domain.payments.queries import Page, PageRequest


@dataclass(frozen=True, slots=True)
class Totals:
    """What was posted to an account up to a moment, in minor units of its currency; both sides are positive."""

    debits: int = 0
    credits: int = 0

    @property
    def balance(self) -> int:
        """Debits less credits."""
        return self.debits - self.credits

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(self.debits + other.debits, self.credits + other.credits)


@dataclass(frozen=True, slots=True)
class KindTotals:
    """The totals of all accounts of one kind in one currency."""

    kind: AccountKind
    currency: Currency
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter:
    """Which accounts a list holds."""

    kinds: frozenset[AccountKind] | None = None
    currencies: frozenset[Currency] | None = None
    user_id: UserId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFilter:
    """Which entries a list holds: posted at `posted_from` or later, and before `posted_to`; `as_of` counts as posted."""

    transaction_id: TransactionId | None = None
    account_id: LedgerAccountId | None = None
    posted_from: datetime | None = None
    posted_to: datetime | None = None
    as_of: datetime | None = None


ANY_ACCOUNT = AccountFilter()


class LedgerReader(Protocol):
    """Reads of the ledger. `as_of` is the last moment that counts; None counts everything."""

    async def accounts_by_ids(self, ids: Sequence[LedgerAccountId], actor: Actor) -> dict[LedgerAccountId, Account]: ...

    async def accounts(self, actor: Actor, where: AccountFilter, page: PageRequest) -> Page[Account]:
        """A piece of the list, the oldest first."""
        ...

    async def count_accounts(self, actor: Actor, where: AccountFilter) -> int: ...

    async def totals(
        self, ids: Sequence[LedgerAccountId], as_of: datetime | None, actor: Actor
    ) -> dict[LedgerAccountId, Totals]:
        """What was posted to each account, in one statement; an account without lines is left out."""
        ...

    async def trial_balance(self, as_of: datetime | None, actor: Actor) -> list[KindTotals]:
        """Every kind and currency that was posted to, in order."""
        ...

    async def entries_by_ids(
        self, ids: Sequence[JournalEntryId], actor: Actor
    ) -> dict[JournalEntryId, JournalEntry]: ...

    async def entries(self, actor: Actor, where: JournalFilter, page: PageRequest) -> Page[JournalEntry]:
        """A piece of the journal, the latest first."""
        ...

    async def count_entries(self, actor: Actor, where: JournalFilter) -> int: ...

    async def entries_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, actor: Actor
    ) -> dict[TransactionId, Page[JournalEntry]]:
        """The same piece of each transaction's entries, oldest first, in one statement."""
        ...

    async def count_entries_of(
        self, transaction_ids: Sequence[TransactionId], actor: Actor
    ) -> dict[TransactionId, int]: ...
