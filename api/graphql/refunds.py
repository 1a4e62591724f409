"""Refunds."""

from datetime import datetime
from typing import ClassVar

import strawberry

from api.graphql.context import Info
from api.graphql.failures import PaymentFailure, failure_type
from api.graphql.money import MoneyType, money_type
from api.graphql.nodes import Node
from api.graphql.paging import Ordering
from api.graphql.transaction_links import LazyTransaction, linked, transaction_behind
from api.graphql.users import User, user_with
from domain import ids
from domain.access import Capability
from domain.ids import IdKind, RefundId
from domain.payments.refund import Refund as RefundRecord
from domain.payments.refund import RefundReason, RefundStatus
from domain.payments.transaction import Transaction as TransactionRecord

OLDEST_FIRST = Ordering("refunds", datetime)
LATEST_FIRST = Ordering("refunds:DESC", datetime)


@strawberry.type(description="Money on its way back to the payer.")
class Refund(Node):
    """A refund on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.PAYMENTS_READ
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
    async def transaction(self, info: Info) -> LazyTransaction:
        if self.parent is not None:
            return linked(self.parent)
        return await transaction_behind(info, self.record.transaction_id)

    @strawberry.field(
        description="Who asked for it; null where it was made at the processor, and for a user you may not see. Batched."
    )
    async def requested_by(self, info: Info) -> User | None:
        return await user_with(info, self.record.requested_by)

    @strawberry.field(
        description="Who approved or rejected it; null where nobody had to, and for a user you may not see. Batched."
    )
    async def decided_by(self, info: Info) -> User | None:
        return await user_with(info, self.record.decided_by)

    @strawberry.field(description="When it was approved or rejected; null where it was not, or not yet.")
    def decided_at(self) -> datetime | None:
        return self.record.decided_at

    @strawberry.field(description="When it was asked for.")
    def created_at(self) -> datetime:
        return self.record.created_at


def refund_type(record: RefundRecord, parent: TransactionRecord | None = None) -> Refund:
    return Refund(record=record, parent=parent)


async def refund_with(info: Info, refund_id: RefundId | None) -> Refund | None:
    """The refund with an id, batched; None where there is none that the asker may see."""
    record = None if refund_id is None else await info.context.loaders.refunds.load(refund_id)
    return None if record is None else refund_type(record)
