"""Transactions: the type, and the filter and order of their list."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from api.graphql import audit, disputes, ledger, refunds
from api.graphql.actions import TransactionAction, actions_of
from api.graphql.audit import AuditEntry, audit_entry_type
from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.disputes import Dispute, dispute_type
from api.graphql.failures import PaymentFailure, failure_type
from api.graphql.ledger import JournalEntry, journal_entry_type
from api.graphql.money import MoneyType, money_type
from api.graphql.nodes import Node
from api.graphql.paging import (
    After,
    Before,
    Connection,
    First,
    Last,
    Ordering,
    connection,
    connections,
    counted,
    page_request,
)
from api.graphql.recovery import Recovery, recoveries_of
from api.graphql.refunds import Refund, refund_type
from api.graphql.rules import withheld_without
from api.graphql.users import User, users_with
from domain import ids
from domain.access import Capability
from domain.currencies import Currency
from domain.errors import BadInput, Refusal
from domain.ids import IdKind, UserId
from domain.payments.queries import Order, OrderDirection, OrderField
from domain.payments.queries import TransactionFilter as Filter
from domain.payments.transaction import CaptureMethod, NextActionType, TransactionStatus
from domain.payments.transaction import Transaction as TransactionRecord
from domain.text import check_text

SEARCH_TEXT_LENGTH_MAX = 200


@strawberry.type(description="What may be shown of a card. Its number is never known here.")
class PaymentMethodSummary:
    """A payment method on the wire."""

    brand: str = strawberry.field(description='The card network, such as "visa".')
    last4: str = strawberry.field(description="The last four digits.")
    expiry_month: int = strawberry.field(description="The month in which the card expires: 1 to 12.")
    expiry_year: int = strawberry.field(description="The year in which the card expires, with four digits.")


@strawberry.type(description="What the payer must do to complete the payment.")
class NextAction:
    """A next action on the wire."""

    type: NextActionType = strawberry.field(description="How to go about it.")
    redirect_url: str | None = strawberry.field(description="Where to send the payer's browser, for REDIRECT.")
    client_secret: str | None = strawberry.field(
        description="What the processor's own JavaScript library needs. Keep it from anybody but the payer."
    )


@strawberry.type(description="One act of paying, from the first word to the last refund.")
class Transaction(Node):
    """A transaction on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.PAYMENTS_READ
    record: strawberry.Private[TransactionRecord]

    @strawberry.field(description="The transaction's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.TRANSACTION, self.record.id))

    @strawberry.field(description="Where the transaction stands.")
    def status(self) -> TransactionStatus:
        return self.record.status

    @strawberry.field(description="What was asked for.")
    def money(self) -> MoneyType:
        return money_type(self.record.money)

    @strawberry.field(description="What has been taken from the card.")
    def captured_money(self) -> MoneyType:
        return money_type(self.record.in_own_currency(self.record.captured))

    @strawberry.field(description="What has gone back to the payer.")
    def refunded_money(self) -> MoneyType:
        return money_type(self.record.in_own_currency(self.record.refunded))

    @strawberry.field(
        description="What can still be refunded: captured, less refunds made or under way, less what is disputed."
    )
    def refundable_money(self) -> MoneyType:
        return money_type(self.record.in_own_currency(self.record.refundable))

    @strawberry.field(
        description="What the processor keeps, in the currency in which it settles; null until it has told."
    )
    def fee_money(self) -> MoneyType | None:
        return None if self.record.fee is None else money_type(self.record.fee)

    @strawberry.field(
        description="Captured, less refunds and the fee; null until the fee is known, and where it is in another currency."
    )
    def net_money(self) -> MoneyType | None:
        record = self.record
        if record.fee is None or record.fee.currency is not record.money.currency:
            return None
        return money_type(record.in_own_currency(record.captured - record.refunded - record.fee.minor_units))

    @strawberry.field(description="Your own words for it.")
    def description(self) -> str | None:
        return self.record.description

    @strawberry.field(description="Your own data, as it was given; an empty object if none was.")
    def metadata(self) -> JSON:
        return JSON(dict(self.record.metadata))

    @strawberry.field(description="When the money is taken.")
    def capture_method(self) -> CaptureMethod:
        return self.record.capture_method

    @strawberry.field(description="The card, as far as it may be shown.")
    def payment_method(self) -> PaymentMethodSummary | None:
        card = self.record.payment_method
        if card is None:
            return None
        return PaymentMethodSummary(
            brand=card.brand, last4=card.last4, expiry_month=card.expiry_month, expiry_year=card.expiry_year
        )

    @strawberry.field(description='Who moves the money: "stripe".')
    def processor(self) -> str:
        return self.record.processor

    @strawberry.field(description="The processor's own id of the payment; null until it has answered.")
    def processor_reference(self) -> str | None:
        return self.record.processor_reference

    @strawberry.field(description="The processor's own word for where it stands.")
    def processor_status(self) -> str | None:
        return self.record.processor_status

    @strawberry.field(description="Why it failed, if it did.")
    def failure(self) -> PaymentFailure | None:
        return failure_type(self.record.failure)

    @strawberry.field(description="What the payer must do, while the status is REQUIRES_ACTION.")
    def next_action(self) -> NextAction | None:
        action = self.record.next_action
        if action is None:
            return None
        return NextAction(type=action.type, redirect_url=action.redirect_url, client_secret=action.client_secret)

    @batched(description="Who pays.")
    @staticmethod
    async def user(transactions: "Sequence[Transaction]", info: Info) -> list[User | None]:
        return await users_with(info, [each.record.user_id for each in transactions])

    @batched(description="The transaction's refunds, oldest first.")
    @staticmethod
    async def refunds(
        transactions: "Sequence[Transaction]",
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> list[Connection[Refund]]:
        wanted = page_request(first, after, last, before, ordering=refunds.OLDEST_FIRST)
        loaders, records = info.context.loaders, [each.record for each in transactions]
        found = await loaders.refunds_of(wanted).load_many([each.id for each in records])
        return [
            connection(
                page,
                refunds.OLDEST_FIRST,
                partial(refund_type, parent=record),
                partial(counted, lambda: loaders.refund_counts, record.id),
            )
            for page, record in zip(found, records, strict=True)
        ]

    @batched(description="The transaction's disputes, oldest first. Batched.")
    @staticmethod
    async def disputes(
        transactions: "Sequence[Transaction]",
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> list[Connection[Dispute]]:
        page = page_request(first, after, last, before, ordering=disputes.OLDEST_FIRST)
        loaders = info.context.loaders
        return await connections(
            [each.record.id for each in transactions],
            loaders.disputes_of(page),
            disputes.OLDEST_FIRST,
            dispute_type,
            lambda: loaders.dispute_counts,
        )

    @batched(
        description="What the transaction posted to the ledger, oldest first; null for anybody but staff. Batched.",
        metadata=withheld_without(Capability.LEDGER_READ),
    )
    @staticmethod
    async def journal_entries(
        transactions: "Sequence[Transaction]",
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Sequence[Connection[JournalEntry] | None]:
        page = page_request(first, after, last, before, ordering=ledger.OLDEST_ENTRY_FIRST)
        loaders = info.context.loaders.ledger
        return await connections(
            [each.record.id for each in transactions],
            loaders.entries_of(page),
            ledger.OLDEST_ENTRY_FIRST,
            journal_entry_type,
            lambda: loaders.entry_counts,
        )

    @strawberry.field(description="What the payer's bank has taken back, or claims: open disputes and lost ones.")
    def disputed_money(self) -> MoneyType:
        return money_type(self.record.in_own_currency(self.record.disputed))

    @batched(description="What you can do with the transaction now, or why you cannot. Batched.")
    @staticmethod
    async def actions(transactions: "Sequence[Transaction]", info: Info) -> list[list[TransactionAction]]:
        return await actions_of(info.context, [each.record for each in transactions])

    @batched(description="Everything that happened to the transaction, oldest first.")
    @staticmethod
    async def audit_log(
        transactions: "Sequence[Transaction]",
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> list[Connection[AuditEntry]]:
        page = page_request(first, after, last, before, ordering=audit.OLDEST_FIRST)
        loaders = info.context.loaders
        return await connections(
            [each.record.id for each in transactions],
            loaders.audit_log_of(page),
            audit.OLDEST_FIRST,
            audit_entry_type,
            lambda: loaders.audit_log_counts,
        )

    @batched(
        description="What is being done about what is not decided yet; null where all is. The processor is asked until it is."
    )
    @staticmethod
    async def recovery(transactions: "Sequence[Transaction]", info: Info) -> list[Recovery | None]:
        return await recoveries_of(info, [each.record.id for each in transactions])

    @strawberry.field(description="When it was created.")
    def created_at(self) -> datetime:
        return self.record.created_at

    @strawberry.field(description="When it last changed.")
    def updated_at(self) -> datetime:
        return self.record.updated_at


def transaction_type(record: TransactionRecord) -> Transaction:
    return Transaction(record=record)


@strawberry.input(description="Which transactions a list holds; all conditions must hold.")
class TransactionFilter:
    """The domain's filter as it comes in."""

    status: list[TransactionStatus] | None = strawberry.field(default=None, description="In one of these statuses.")
    currency: list[Currency] | None = strawberry.field(default=None, description="In one of these currencies.")
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Paid by this user.")
    created_from: datetime | None = strawberry.field(default=None, description="Created at this moment or later.")
    created_to: datetime | None = strawberry.field(default=None, description="Created before this moment.")
    min_amount: Decimal | None = strawberry.field(
        default=None, description='Of at least this amount in major units, such as "10.00", in whatever currency.'
    )
    max_amount: Decimal | None = strawberry.field(
        default=None, description="Of at most this amount in major units, in whatever currency."
    )
    text: str | None = strawberry.field(
        default=None,
        description="Each word begins a word of the description or of the processor's reference; case does not count.",
    )

    needs_attention: bool | None = strawberry.field(
        default=None,
        description="Whether a person should look at it: its outcome, or that of a refund, is unknown for over 15 minutes, or "
        "was left to a person.",
    )

    def to_filter(self) -> Filter:
        """Raises BadInput for a text that cannot be searched for."""
        if self.text is not None:
            try:
                check_text(self.text, path=("filter", "text"), length_max=SEARCH_TEXT_LENGTH_MAX)
            except Refusal as error:
                raise BadInput(f"filter.text: {error.message}") from error
        return Filter(
            statuses=None if self.status is None else frozenset(self.status),
            currencies=None if self.currency is None else frozenset(self.currency),
            user_id=None if self.user_id is None else UserId(ids.decode_or_nil(IdKind.USER, self.user_id)),
            created_from=self.created_from,
            created_to=self.created_to,
            amount_min=self.min_amount,
            amount_max=self.max_amount,
            # A search field that was emptied filters nothing.
            text=(self.text or "").strip() or None,
            needs_attention=self.needs_attention,
        )


@strawberry.input(description="How a list of transactions is ordered; ties are broken by id.")
class TransactionOrder:
    """The domain's order as it comes in."""

    field: OrderField = strawberry.field(default=OrderField.CREATED_AT, description="By what.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Which end comes first.")

    def to_order(self) -> Order:
        return Order(self.field, self.direction)


def ordering_of(order: Order) -> Ordering:
    """An order as cursors know it."""
    by = datetime if order.field is OrderField.CREATED_AT else int
    return Ordering(f"transactions:{order.field}:{order.direction}", by)
