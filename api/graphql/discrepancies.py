"""Discrepancies, for administrators: where the processor and we do not say the same, and the mutation that settles one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

import strawberry

from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.money import MoneyType, money_type
from api.graphql.mutations import ERRORS, KEY, REPLAYED
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, Ordering, connection, page_request
from api.graphql.problems import UserError, user_errors
from api.graphql.rules import needs
from api.graphql.transaction_links import transactions_with
from api.graphql.transactions import Transaction
from api.graphql.users import User, users_with
from domain import ids
from domain.access import Capability
from domain.errors import Refusal
from domain.ids import DiscrepancyId, IdKind, TransactionId
from domain.reconciliation.discrepancies import ANY_DISCREPANCY, DiscrepancyKind, Resolution, SubjectKind
from domain.reconciliation.discrepancies import Discrepancy as DiscrepancyRecord
from domain.reconciliation.discrepancies import DiscrepancyFilter as Filter
from domain.reconciliation.resolve_discrepancy import NewResolution

LATEST_FIRST = Ordering("discrepancies", datetime)


@strawberry.type(description="Something on which the processor and we do not agree, for as long as it lasts.")
class Discrepancy(Node):
    """A discrepancy on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.RECONCILIATION_READ
    record: strawberry.Private[DiscrepancyRecord]

    @strawberry.field(description="The discrepancy's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.DISCREPANCY, self.record.id))

    @strawberry.field(description="What does not agree.")
    def kind(self) -> DiscrepancyKind:
        return self.record.difference.kind

    @strawberry.field(description="What both sides say, in a sentence for people.")
    def summary(self) -> str:
        return self.record.difference.summary

    @strawberry.field(description="What the processor says; null where it knows of no such money, or has no say.")
    def processor_money(self) -> MoneyType | None:
        money = self.record.difference.processor
        return None if money is None else money_type(money)

    @strawberry.field(description="What we say; null where we know of no such money.")
    def our_money(self) -> MoneyType | None:
        money = self.record.difference.ours
        return None if money is None else money_type(money)

    @strawberry.field(
        description="The processor's id of the charge, refund or dispute; null where it has none, and where the ledger differs."
    )
    def processor_reference(self) -> str | None:
        subject = self.record.difference.subject
        ours = subject.kind is SubjectKind.LEDGER or ids.decode(subject.reference) is not None
        return None if ours else subject.reference

    @batched(description="The transaction; null where the processor holds money for none of ours. Batched.")
    @staticmethod
    async def transaction(discrepancies: "Sequence[Discrepancy]", info: Info) -> list[Transaction | None]:
        return await transactions_with(info, [each.record.difference.transaction_id for each in discrepancies])

    @strawberry.field(description="When it was first seen.")
    def first_seen_at(self) -> datetime:
        return self.record.first_seen_at

    @strawberry.field(description="When it was last seen.")
    def last_seen_at(self) -> datetime:
        return self.record.last_seen_at

    @strawberry.field(description="When it was resolved; null while it is open.")
    def resolved_at(self) -> datetime | None:
        return self.record.resolved_at

    @strawberry.field(description="How it was resolved; null while it is open.")
    def resolution(self) -> Resolution | None:
        return self.record.resolution

    @batched(description="The administrator who resolved it; null where nobody had to. Batched.")
    @staticmethod
    async def resolved_by(discrepancies: "Sequence[Discrepancy]", info: Info) -> list[User | None]:
        return await users_with(info, [each.record.resolved_by for each in discrepancies])

    @strawberry.field(description="Why the administrator resolved it.")
    def reason(self) -> str | None:
        return self.record.reason


def discrepancy_type(record: DiscrepancyRecord) -> Discrepancy:
    return Discrepancy(record=record)


@strawberry.input(description="Which discrepancies a list holds; all conditions must hold.")
class DiscrepancyFilter:
    """The domain's filter as it comes in."""

    kind: list[DiscrepancyKind] | None = strawberry.field(default=None, description="Of one of these kinds.")
    resolved: bool | None = strawberry.field(
        default=None, description="True for those that are resolved, false for those that wait."
    )
    transaction_id: strawberry.ID | None = strawberry.field(default=None, description="About this transaction.")
    first_seen_from: datetime | None = strawberry.field(default=None, description="First seen at this moment or later.")
    first_seen_to: datetime | None = strawberry.field(default=None, description="First seen before this moment.")

    def to_filter(self) -> Filter:
        return Filter(
            kinds=None if self.kind is None else frozenset(self.kind),
            resolved=self.resolved,
            transaction_id=None
            if self.transaction_id is None
            else TransactionId(ids.decode_or_nil(IdKind.TRANSACTION, self.transaction_id)),
            first_seen_from=self.first_seen_from,
            first_seen_to=self.first_seen_to,
        )


@strawberry.type
class DiscrepancyQueries:
    """The queries of reconciliation."""

    @strawberry.field(
        description="Where the processor and we do not agree, the latest first seen first. For administrators.",
        metadata=needs(Capability.RECONCILIATION_READ),
    )
    async def discrepancies(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[DiscrepancyFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> Connection[Discrepancy]:
        actor = info.context.require_actor()
        where = ANY_DISCREPANCY if filter is None else filter.to_filter()
        page = page_request(first, after, last, before, ordering=LATEST_FIRST)
        reader = info.context.readers.discrepancies
        return connection(
            await reader.discrepancies(actor, where, page),
            LATEST_FIRST,
            discrepancy_type,
            lambda: reader.count_discrepancies(actor, where),
        )


@strawberry.input(description="A discrepancy that a person has settled.")
class ResolveDiscrepancyInput:
    """What resolveDiscrepancy takes."""

    idempotency_key: str = strawberry.field(description=KEY)
    discrepancy_id: strawberry.ID = strawberry.field(description="Which: one that is open.")
    reason: str = strawberry.field(description="How it was settled, for the audit log: 1 to 500 characters.")


@strawberry.type(description="What came of resolveDiscrepancy.")
class ResolveDiscrepancyPayload:
    """The discrepancy as it stands now."""

    discrepancy: Discrepancy | None = strawberry.field(
        description="The discrepancy as it stands now; null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.type
class DiscrepancyMutations:
    """The mutations of reconciliation."""

    @strawberry.mutation(
        description="Say that a discrepancy is settled, and how. It moves no money, and is not opened again while both sides say "
        "what they say now. For administrators.",
        metadata=needs(Capability.RECONCILIATION_RESOLVE),
    )
    async def resolve_discrepancy(
        self,
        info: Info,
        input: Annotated[
            ResolveDiscrepancyInput, strawberry.argument(description="Which discrepancy, and how it was settled.")
        ],
    ) -> ResolveDiscrepancyPayload:
        context = info.context
        actor = context.require_actor()
        value = ids.decode_as(IdKind.DISCREPANCY, input.discrepancy_id)
        discrepancy_id = None if value is None else DiscrepancyId(value)
        wanted = NewResolution(
            idempotency_key=input.idempotency_key, discrepancy_id=discrepancy_id, reason=input.reason
        )
        try:
            done = await context.acts.resolve_discrepancy(actor, wanted)
        except Refusal as refusal:
            return ResolveDiscrepancyPayload(discrepancy=None, errors=user_errors([refusal]), replayed=False)
        finally:
            context.forget_loaded()
        record = None if discrepancy_id is None else await context.loaders.discrepancies.load(discrepancy_id)
        return ResolveDiscrepancyPayload(
            discrepancy=None if record is None else discrepancy_type(record), errors=[], replayed=not done
        )
