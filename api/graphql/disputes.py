"""Disputes."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import strawberry

from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.money import MoneyType, money_type
from api.graphql.nodes import Node
from api.graphql.paging import Ordering
from api.graphql.transaction_links import LazyTransaction, transactions_behind
from domain import ids
from domain.access import Capability
from domain.ids import IdKind
from domain.money import Money
from domain.payments.dispute import Dispute as DisputeRecord
from domain.payments.dispute import DisputeStatus

OLDEST_FIRST = Ordering("disputes", datetime)


@strawberry.type(description="The payer's bank takes a payment back, and a procedure decides who keeps the money.")
class Dispute(Node):
    """A dispute on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.PAYMENTS_READ
    record: strawberry.Private[DisputeRecord]

    @strawberry.field(description="The dispute's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.DISPUTE, self.record.id))

    @strawberry.field(description="Where the dispute stands.")
    def status(self) -> DisputeStatus:
        return self.record.status

    @strawberry.field(description="What the bank wants back.")
    def money(self) -> MoneyType:
        return money_type(self.record.money)

    @strawberry.field(
        description="What the processor has taken from the merchant's balance for it, less what it gave back, without fees."
    )
    def withdrawn_money(self) -> MoneyType:
        return money_type(Money(self.record.withdrawn, self.record.money.currency))

    @strawberry.field(description='The processor\'s own word for what the payer claims, such as "fraudulent".')
    def reason(self) -> str:
        return self.record.reason

    @strawberry.field(description="The processor's own id of the dispute.")
    def processor_reference(self) -> str:
        return self.record.processor_reference

    @strawberry.field(description="The processor's own word for where it stands.")
    def processor_status(self) -> str:
        return self.record.processor_status

    @strawberry.field(description="Until when evidence must be with the processor, if it says so.")
    def evidence_due_at(self) -> datetime | None:
        return self.record.evidence_due_at

    @batched(description="The transaction that is disputed.")
    @staticmethod
    async def transaction(disputes: "Sequence[Dispute]", info: Info) -> list[LazyTransaction]:
        return await transactions_behind(info, [each.record.transaction_id for each in disputes])

    @strawberry.field(description="When we heard of it.")
    def created_at(self) -> datetime:
        return self.record.created_at

    @strawberry.field(description="When it last changed.")
    def updated_at(self) -> datetime:
        return self.record.updated_at


def dispute_type(record: DisputeRecord) -> Dispute:
    return Dispute(record=record)
