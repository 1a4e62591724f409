"""Prove that the ledger adds up, and that it says of every transaction what the transaction says of itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.currencies import Currency
from domain.ids import IdKind, JournalEntryId, LedgerAccountId, TransactionId, encode
from domain.ledger.accounts import Account
from domain.money import Money

CHUNK = 5_000
"""How many transactions or entries are compared at a time."""


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """An entry that the database should have refused, and why."""

    id: JournalEntryId
    problem: str


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account as it is stored, with the sum of its lines computed from them anew."""

    id: LedgerAccountId
    account: Account
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A transaction's own figures, and beside each the same from the ledger's lines; minor units of its currency.

    `disputed` is what its disputes hold or lost, `withdrawn` what they took and did not give back, `lost` what is written off.
    `fee_elsewhere` is what the ledger has of fees in other currencies than that of the fee.
    """

    id: TransactionId
    currency: Currency
    captured: int
    ledger_captured: int
    refunded: int
    ledger_refunded: int
    disputed: int
    disputes_held: int
    withdrawn: int
    ledger_withdrawn: int
    lost: int
    ledger_lost: int
    fee: Money | None
    ledger_fee: int
    fee_elsewhere: int

    def differences(self) -> Iterator[str]:
        """What does not agree, in sentences."""
        pairs = (
            ("captured", self.captured, self.ledger_captured),
            ("refunded", self.refunded, self.ledger_refunded),
            ("withdrawn by disputes", self.withdrawn, self.ledger_withdrawn),
            ("lost in disputes", self.lost, self.ledger_lost),
        )
        name = encode(IdKind.TRANSACTION, self.id)
        for what, own, ledger in pairs:
            if own != ledger:
                yield (
                    f"{name}: {what} is {Money(own, self.currency)} by the tables, "
                    f"{Money(ledger, self.currency)} by the ledger"
                )
        if self.disputed != min(self.disputes_held, self.captured):
            yield (
                f"{name}: disputed is {Money(self.disputed, self.currency)}, "
                f"its disputes hold {Money(self.disputes_held, self.currency)}"
            )
        fee = self.fee or Money(0, self.currency)
        if fee.minor_units != self.ledger_fee or self.fee_elsewhere:
            also = " and something in another currency" if self.fee_elsewhere else ""
            yield f"{name}: the fee is {fee} by the tables, {Money(self.ledger_fee, fee.currency)}{also} by the ledger"


class StoredLedger(Protocol):
    """The ledger as it is stored, whatever somebody has done to it, and the transactions beside it."""

    async def count(self) -> tuple[int, int]:
        """How many entries and transactions there are."""
        ...

    async def entries(
        self, after: JournalEntryId | None, limit: int
    ) -> tuple[JournalEntryId | None, Sequence[BrokenEntry]]:
        """The broken ones among the next entries by id, and the last id looked at; None at the end."""
        ...

    async def stray_lines(self) -> int:
        """How many lines belong to no entry."""
        ...

    async def accounts(self) -> Sequence[StoredAccount]:
        """Every account."""
        ...

    async def transactions(self, after: TransactionId | None, limit: int) -> Sequence[Compared]:
        """The next transactions by id, each with what the ledger says at the same moment."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much was looked at, and what does not agree; all is well where `differences` is empty."""

    entries: int
    accounts: int
    transactions: int
    differences: tuple[str, ...]


async def verify(ledger: StoredLedger, on_progress: Callable[[str, int, int], None]) -> Verdict:
    """Look at every entry, account and transaction. `on_progress` is told what is looked at, how many of how many."""
    differences: list[str] = []
    entries, transactions = await ledger.count()
    last: JournalEntryId | None = None
    looked = 0
    while True:
        last, broken = await ledger.entries(last, CHUNK)
        differences += [f"{encode(IdKind.JOURNAL_ENTRY, each.id)}: {each.problem}" for each in broken]
        if last is None:
            break
        looked = min(looked + CHUNK, entries)
        on_progress("entries", looked, entries)
    if stray := await ledger.stray_lines():
        differences.append(f"{stray} lines belong to no entry")
    accounts = await ledger.accounts()
    differences += _differences_of(accounts)
    after: TransactionId | None = None
    compared = 0
    while found := await ledger.transactions(after, CHUNK):
        for each in found:
            differences += each.differences()
        after = found[-1].id
        compared += len(found)
        on_progress("transactions", compared, max(transactions, compared))
    return Verdict(entries, len(accounts), compared, tuple(differences))


def _differences_of(accounts: Sequence[StoredAccount]) -> Iterator[str]:
    totals: dict[Currency, int] = {}
    for stored in accounts:
        if stored.id != stored.account.id:
            yield f"{encode(IdKind.LEDGER_ACCOUNT, stored.id)}: its id is not that of its kind, currency and user"
        totals[stored.account.currency] = totals.get(stored.account.currency, 0) + stored.balance
    for currency, total in sorted(totals.items()):
        if total:
            yield f"all accounts in {currency} add up to {Money(total, currency)}, not to zero"
