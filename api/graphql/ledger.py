"""The ledger, for staff: accounts, the journal and the trial balance."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Annotated, ClassVar

import strawberry

from api.graphql.batching import shown
from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.disputes import Dispute, dispute_type
from api.graphql.money import MoneyType, money_type
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, Ordering, connection, page_request
from api.graphql.refunds import Refund, refunds_with
from api.graphql.rules import needs
from api.graphql.transaction_links import LazyTransaction, transactions_with
from api.graphql.users import User, users_with
from domain import ids
from domain.access import Capability
from domain.currencies import Currency
from domain.ids import IdKind, LedgerAccountId, TransactionId, UserId
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import EntryKind
from domain.ledger.entries import JournalEntry as JournalEntryRecord
from domain.ledger.entries import LedgerEntry as LedgerEntryRecord
from domain.ledger.queries import ANY_ACCOUNT, KindTotals, Totals
from domain.ledger.queries import AccountFilter as AccountConditions
from domain.ledger.queries import JournalFilter as JournalConditions
from domain.money import Money

OLDEST_ENTRY_FIRST = Ordering("journal:ASC", datetime)
LATEST_ENTRY_FIRST = Ordering("journal:DESC", datetime)
OLDEST_ACCOUNT_FIRST = Ordering("ledgerAccounts", datetime)

AsOf = Annotated[
    datetime | None,
    strawberry.argument(description="The last moment whose entries count; now, when absent."),
]


@strawberry.type(description="An account of the ledger. Its balance is what was debited less what was credited.")
class LedgerAccount(Node):
    """An account on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.LEDGER_READ
    record: strawberry.Private[Account]

    @strawberry.field(description="The account's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.LEDGER_ACCOUNT, self.record.id))

    @strawberry.field(description="What the account counts.")
    def kind(self) -> AccountKind:
        return self.record.kind

    @strawberry.field(description="The account's only currency.")
    def currency(self) -> Currency:
        return self.record.currency

    @batched(description="Whose it is; null but for a CUSTOMER account. Batched.")
    @staticmethod
    async def user(accounts: "Sequence[LedgerAccount]", info: Info) -> list[User | None]:
        return await users_with(info, [each.record.user_id for each in accounts])

    @batched(description="Debits less credits. Batched.")
    @staticmethod
    async def balance(accounts: "Sequence[LedgerAccount]", info: Info, as_of: AsOf = None) -> list[MoneyType]:
        return [_of(account, totals.balance) for account, totals in await _totals(accounts, info, as_of)]

    @batched(description="All debits. Batched.")
    @staticmethod
    async def debits(accounts: "Sequence[LedgerAccount]", info: Info, as_of: AsOf = None) -> list[MoneyType]:
        return [_of(account, totals.debits) for account, totals in await _totals(accounts, info, as_of)]

    @batched(description="All credits, as a positive amount. Batched.")
    @staticmethod
    async def credits(accounts: "Sequence[LedgerAccount]", info: Info, as_of: AsOf = None) -> list[MoneyType]:
        return [_of(account, totals.credits) for account, totals in await _totals(accounts, info, as_of)]


async def _totals(
    accounts: Sequence[LedgerAccount], info: Info, as_of: datetime | None
) -> list[tuple[LedgerAccount, Totals]]:
    found = await info.context.loaders.ledger.totals(as_of).load_many([each.record.id for each in accounts])
    return [(account, totals or Totals()) for account, totals in zip(accounts, found, strict=True)]


def _of(account: LedgerAccount, minor_units: int) -> MoneyType:
    return money_type(Money(minor_units, account.record.currency))


def ledger_account_type(record: Account) -> LedgerAccount:
    return LedgerAccount(record=record)


@strawberry.type(description="One line of a journal entry: an amount on one side of one account.")
class LedgerEntry:
    """A line on the wire."""

    record: strawberry.Private[LedgerEntryRecord]

    @strawberry.field(description="The account.")
    def account(self) -> LedgerAccount:
        return ledger_account_type(self.record.account)

    @strawberry.field(description="What is debited; null for a credit.")
    def debit(self) -> MoneyType | None:
        return self._side(self.record.minor_units)

    @strawberry.field(description="What is credited, as a positive amount; null for a debit.")
    def credit(self) -> MoneyType | None:
        return self._side(-self.record.minor_units)

    def _side(self, minor_units: int) -> MoneyType | None:
        return money_type(Money(minor_units, self.record.account.currency)) if minor_units > 0 else None


def ledger_entry_types(lines: Sequence[LedgerEntryRecord]) -> list[LedgerEntry]:
    return [LedgerEntry(record=line) for line in lines]


@strawberry.type(
    description="What happened to money, as lines whose debits and credits are equal in each currency. Never changed."
)
class JournalEntry(Node):
    """An entry on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.LEDGER_READ
    record: strawberry.Private[JournalEntryRecord]

    @strawberry.field(description="The entry's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.JOURNAL_ENTRY, self.record.id))

    @strawberry.field(description="What happened.")
    def kind(self) -> EntryKind:
        return self.record.kind

    @strawberry.field(description="What caused it, mostly by the processor's own id of the charge, refund or movement.")
    def source(self) -> str:
        return self.record.source

    @strawberry.field(description="The lines.")
    def lines(self) -> list[LedgerEntry]:
        return ledger_entry_types(self.record.lines)

    @batched(description="The transaction whose money it is. Batched.")
    @staticmethod
    async def transaction(entries: "Sequence[JournalEntry]", info: Info) -> list[LazyTransaction | None]:
        return await transactions_with(info, [each.record.transaction_id for each in entries])

    @batched(description="The refund that it is about, if it is about one. Batched.")
    @staticmethod
    async def refund(entries: "Sequence[JournalEntry]", info: Info) -> list[Refund | None]:
        return await refunds_with(info, [each.record.refund_id for each in entries])

    @batched(description="The dispute that it is about, if it is about one. Batched.")
    @staticmethod
    async def dispute(entries: "Sequence[JournalEntry]", info: Info) -> list[Dispute | None]:
        return shown(
            await info.context.loaders.disputes.load_many([each.record.dispute_id for each in entries]), dispute_type
        )

    @strawberry.field(description="When it was posted.")
    def posted_at(self) -> datetime:
        return self.record.posted_at


def journal_entry_type(record: JournalEntryRecord) -> JournalEntry:
    return JournalEntry(record=record)


@strawberry.type(description="The accounts of one kind in one currency, taken together: all customers' are one line.")
class TrialBalanceLine:
    """One line of the trial balance."""

    kind: AccountKind = strawberry.field(description="What the accounts count.")
    debits: MoneyType = strawberry.field(description="All debits.")
    credits: MoneyType = strawberry.field(description="All credits, as a positive amount.")
    balance: MoneyType = strawberry.field(description="Debits less credits.")


@strawberry.type(description="All accounts of one currency. Debits and credits are equal, so that the balance is zero.")
class CurrencyTrialBalance:
    """One currency's part of the trial balance."""

    currency: Currency = strawberry.field(description="The currency.")
    lines: list[TrialBalanceLine] = strawberry.field(description="One line for each kind of account in use.")
    debits: MoneyType = strawberry.field(description="All debits.")
    credits: MoneyType = strawberry.field(description="All credits, as a positive amount.")
    balance: MoneyType = strawberry.field(description="Debits less credits: zero.")


@strawberry.type(description="Every account's debits and credits up to a moment.")
class TrialBalance:
    """The trial balance on the wire."""

    as_of: datetime | None = strawberry.field(description="The last moment whose entries count; null for all entries.")
    currencies: list[CurrencyTrialBalance] = strawberry.field(description="One part for each currency in use.")


@strawberry.input(description="Which accounts a list holds; all conditions must hold.")
class LedgerAccountFilter:
    """The domain's filter as it comes in."""

    kind: list[AccountKind] | None = strawberry.field(default=None, description="Of one of these kinds.")
    currency: list[Currency] | None = strawberry.field(default=None, description="In one of these currencies.")
    user_id: strawberry.ID | None = strawberry.field(default=None, description="This user's.")

    def to_conditions(self) -> AccountConditions:
        return AccountConditions(
            kinds=None if self.kind is None else frozenset(self.kind),
            currencies=None if self.currency is None else frozenset(self.currency),
            user_id=None if self.user_id is None else UserId(ids.decode_or_nil(IdKind.USER, self.user_id)),
        )


@strawberry.input(description="Which journal entries a list holds; all conditions must hold.")
class JournalEntryFilter:
    """The domain's filter as it comes in."""

    transaction_id: strawberry.ID | None = strawberry.field(default=None, description="Of this transaction.")
    account_id: strawberry.ID | None = strawberry.field(default=None, description="With a line of this account.")
    from_: datetime | None = strawberry.field(name="from", default=None, description="Posted at this moment or later.")
    to: datetime | None = strawberry.field(default=None, description="Posted before this moment.")


def _conditions(where: JournalEntryFilter | None, as_of: datetime | None) -> JournalConditions:
    if where is None:
        return JournalConditions(as_of=as_of)
    transaction, account = where.transaction_id, where.account_id
    return JournalConditions(
        transaction_id=None
        if transaction is None
        else TransactionId(ids.decode_or_nil(IdKind.TRANSACTION, transaction)),
        account_id=None if account is None else LedgerAccountId(ids.decode_or_nil(IdKind.LEDGER_ACCOUNT, account)),
        posted_from=where.from_,
        posted_to=where.to,
        as_of=as_of,
    )


@strawberry.type
class LedgerQueries:
    """The queries of the ledger."""

    @strawberry.field(
        description="The ledger's accounts, the oldest first. For staff.",
        metadata=needs(Capability.LEDGER_READ),
    )
    async def ledger_accounts(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[LedgerAccountFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> Connection[LedgerAccount]:
        actor, ledger = info.context.require_actor(), info.context.readers.ledger
        where = ANY_ACCOUNT if filter is None else filter.to_conditions()
        page = page_request(first, after, last, before, ordering=OLDEST_ACCOUNT_FIRST)
        return connection(
            await ledger.accounts(actor, where, page),
            OLDEST_ACCOUNT_FIRST,
            ledger_account_type,
            lambda: ledger.count_accounts(actor, where),
        )

    @strawberry.field(
        description="The journal: every entry, the latest first. For staff.",
        metadata=needs(Capability.LEDGER_READ),
    )
    async def journal_entries(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[JournalEntryFilter | None, strawberry.argument(description="Which ones.")] = None,
        as_of: AsOf = None,
    ) -> Connection[JournalEntry]:
        actor, ledger = info.context.require_actor(), info.context.readers.ledger
        where = _conditions(filter, as_of)
        page = page_request(first, after, last, before, ordering=LATEST_ENTRY_FIRST)
        return connection(
            await ledger.entries(actor, where, page),
            LATEST_ENTRY_FIRST,
            journal_entry_type,
            lambda: ledger.count_entries(actor, where),
        )

    @strawberry.field(
        description="Every account's debits and credits, whose sums are equal. For staff.",
        metadata=needs(Capability.LEDGER_READ),
    )
    async def trial_balance(self, info: Info, as_of: AsOf = None) -> TrialBalance:
        found = await info.context.readers.ledger.trial_balance(as_of, info.context.require_actor())
        parts = [_currency_part(each, list(lines)) for each, lines in groupby(found, key=lambda line: line.currency)]
        return TrialBalance(as_of=as_of, currencies=parts)


def _currency_part(currency: Currency, lines: Sequence[KindTotals]) -> CurrencyTrialBalance:
    def money(minor_units: int) -> MoneyType:
        return money_type(Money(minor_units, currency))

    whole = sum((line.totals for line in lines), Totals())
    return CurrencyTrialBalance(
        currency=currency,
        lines=[
            TrialBalanceLine(
                kind=line.kind,
                debits=money(line.totals.debits),
                credits=money(line.totals.credits),
                balance=money(line.totals.balance),
            )
            for line in lines
        ],
        debits=money(whole.debits),
        credits=money(whole.credits),
        balance=money(whole.balance),
    )
