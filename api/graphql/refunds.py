"""Refunds."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import strawberry

from api.graphql.batching import shown
from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.failures import PaymentFailure, failure_type
from api.graphql.money import MoneyType, money_type
from api.graphql.nodes import Node
from api.graphql.paging import Ordering
from api.graphql.transaction_links import LazyTransaction, linked, transactions_behind
from api.graphql.users import User, users_with
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

    @batched(description="The transaction whose money goes back.")
    @staticmethod
    async def transaction(refunds: "Sequence[Refund]", info: Info) -> list[LazyTransaction]:
        unknown = [each.record.transaction_id for each in refunds if each.parent is None]
        behind = iter(await transactions_behind(info, unknown) if unknown else ())
        return [next(behind) if each.parent is None else linked(each.parent) for each in refunds]

    @batched(
        description="Who asked for it; null where it was made at the processor, and for a user you may not see. Batched."
    )
    @staticmethod
    async def requested_by(refunds: "Sequence[Refund]", info: Info) -> list[User | None]:
        return await users_with(info, [each.record.requested_by for each in refunds])

    @batched(
        description="Who approved or rejected it; null where nobody had to, and for a user you may not see. Batched."
    )
    @staticmethod
    async def decided_by(refunds: "Sequence[Refund]", info: Info) -> list[User | None]:
        return await users_with(info, [each.record.decided_by for each in refunds])

    @strawberry.field(description="When it was approved or rejected; null where it was not, or not yet.")
    def decided_at(self) -> datetime | None:
        return self.record.decided_at

    @strawberry.field(description="When it was asked for.")
    def created_at(self) -> datetime:
        return self.record.created_at


def refund_type(record: RefundRecord, parent: TransactionRecord | None = None) -> Refund:
    return Refund(record=record, parent=parent)


async def refunds_with(info: Info, refund_ids: Sequence[RefundId | None]) -> list[Refund | None]:
    """The refunds with these ids; None where there is none that the asker may see."""
    return shown(await info.context.loaders.refunds.load_many(refund_ids), refund_type)
