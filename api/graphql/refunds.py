"""Refunds."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from api.graphql.context import Info
from api.graphql.failures import PaymentFailure, failure_type
from api.graphql.money import MoneyType, money_type
from api.graphql.nodes import Node
from api.graphql.paging import Ordering
from domain import ids
from domain.errors import Unavailable
from domain.ids import IdKind
from domain.payments.refund import Refund as RefundRecord
from domain.payments.refund import RefundReason, RefundStatus
from domain.payments.transaction import Transaction as TransactionRecord

if TYPE_CHECKING:
    from api.graphql.transactions import Transaction

OLDEST_FIRST = Ordering("refunds", datetime)


@strawberry.type(description="Money on its way back to the payer.")
class Refund(Node):
    """A refund on the wire."""

    record: strawberry.Private[RefundRecord]
    parent: strawberry.Private[TransactionRecord | None] = None

    @strawberry.field(description="The refund's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.REFUND, self.record.id))

    @strawberry.field(description="Where the refund stands.")
    def status(self) -> RefundStatus:
        return self.record.status

    @strawberry.field(description="How much goes back.")
    def money(self) -> MoneyType:
        return money_type(self.record.money)

    @strawberry.field(description="Why it goes back, if told.")
    def reason(self) -> RefundReason | None:
        return self.record.reason

    @strawberry.field(description="The processor's own id of the refund; null until it has answered.")
    def processor_reference(self) -> str | None:
        return self.record.processor_reference

    @strawberry.field(description="Why it failed, if it did.")
    def failure(self) -> PaymentFailure | None:
        return failure_type(self.record.failure)

    @strawberry.field(description="The transaction whose money goes back.")
    async def transaction(self, info: Info) -> Annotated["Transaction", strawberry.lazy("api.graphql.transactions")]:
        from api.graphql.transactions import transaction_type  # noqa: PLC0415  the two types hold each other

        record = self.parent or await info.context.loaders.transactions.load(self.record.transaction_id)
        if record is None:
            raise Unavailable
        return transaction_type(record)

    @strawberry.field(description="When it was asked for.")
    def created_at(self) -> datetime:
        return self.record.created_at


def refund_type(record: RefundRecord, parent: TransactionRecord | None = None) -> Refund:
    return Refund(record=record, parent=parent)
