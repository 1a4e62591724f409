"""Recovery, made visible: what is being done about an unknown outcome, what needs a person, and what a person decided."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

import strawberry

from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.mutations import answer_of
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, Ordering, connection, page_request
from api.graphql.problems import UserError, user_errors
from api.graphql.refunds import Refund, refunds_with
from api.graphql.rules import needs, withheld_without
from api.graphql.transaction_links import LazyTransaction, linked, transactions_behind
from domain import ids
from domain.access import Capability
from domain.ids import AttemptId, IdKind, TransactionId
from domain.payments.attempt import AttemptKind
from domain.payments.attempt_queries import ANY_OPEN_ATTEMPT, AttemptView, RecoveryState
from domain.payments.attempt_queries import AttemptFilter as Filter
from domain.payments.resolve_attempt import AttemptResolution, NewResolution

OLDEST_FIRST = Ordering("attempts", datetime)


@strawberry.type(description="One thing asked of the processor, with how far it got. Shown to staff only.")
class Attempt(Node):
    """An attempt on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.ATTEMPTS_READ
    record: strawberry.Private[AttemptView]

    @strawberry.field(description="The attempt's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.ATTEMPT, self.record.id))

    @strawberry.field(description="What is asked of the processor.")
    def kind(self) -> AttemptKind:
        return self.record.kind

    @strawberry.field(description="Where it stands.")
    def state(self) -> RecoveryState:
        return self.record.state

    @strawberry.field(description="How often it was taken up, by the request itself and by workers.")
    def attempts(self) -> int:
        return self.record.tries

    @strawberry.field(description="Why its outcome is not known, or why it was left to a person.")
    def reason(self) -> str | None:
        return self.record.reason

    @batched(description="The transaction that it is about. Batched.")
    @staticmethod
    async def transaction(attempts: "Sequence[Attempt]", info: Info) -> list[LazyTransaction]:
        return await transactions_behind(info, [each.record.transaction_id for each in attempts])

    @batched(description="The refund that it is about, for attempts of kind REFUND. Batched.")
    @staticmethod
    async def refund(attempts: "Sequence[Attempt]", info: Info) -> list[Refund | None]:
        return await refunds_with(info, [each.record.refund_id for each in attempts])

    @strawberry.field(description="When it was stored, right before it was sent for the first time.")
    def created_at(self) -> datetime:
        return self.record.created_at

    @strawberry.field(description="When it was last taken up.")
    def last_checked_at(self) -> datetime:
        return self.record.last_checked_at

    @strawberry.field(
        description="When it is taken up next; null while it is worked on, and where it waits for a person."
    )
    def next_check_at(self) -> datetime | None:
        return self.record.next_check_at

    @strawberry.field(
        description="Since when its outcome is unknown; null where the processor has answered, and something remains to be done."
    )
    def unknown_since(self) -> datetime | None:
        return self.record.unknown_since


def attempt_type(record: AttemptView) -> Attempt:
    return Attempt(record=record)


@strawberry.type(description="What is being done about a transaction of which something is not decided yet.")
class Recovery:
    """The gravest of a transaction's open attempts on the wire."""

    record: strawberry.Private[AttemptView]

    @strawberry.field(description="Where it stands.")
    def state(self) -> RecoveryState:
        return self.record.state

    @strawberry.field(description="How often it was taken up.")
    def attempts(self) -> int:
        return self.record.tries

    @strawberry.field(description="When the processor was last asked.")
    def last_checked_at(self) -> datetime:
        return self.record.last_checked_at

    @strawberry.field(
        description="When it is asked next; null while it is being asked, and where a person has to decide."
    )
    def next_check_at(self) -> datetime | None:
        return self.record.next_check_at

    @strawberry.field(
        description="Why the outcome is not known, or was left to a person. For staff; null for others.",
        metadata=withheld_without(Capability.ATTEMPTS_READ),
    )
    def reason(self) -> str | None:
        return self.record.reason

    @strawberry.field(
        description="The attempt that is open; of several the gravest. For staff; null for others.",
        metadata=withheld_without(Capability.ATTEMPTS_READ),
    )
    def attempt(self) -> Attempt | None:
        return attempt_type(self.record)


async def recoveries_of(info: Info, transaction_ids: Sequence[TransactionId]) -> list[Recovery | None]:
    """What the field Transaction.recovery shows of these transactions."""
    records = await info.context.loaders.recoveries.load_many(transaction_ids)
    return [None if record is None else Recovery(record=record) for record in records]


@strawberry.input(description="Which of the attempts that are not done a list holds; all conditions must hold.")
class AttemptFilter:
    """The domain's filter as it comes in."""

    needs_attention: bool = strawberry.field(default=False, description="Only those that a person should look at.")
    state: list[RecoveryState] | None = strawberry.field(default=None, description="In one of these states.")
    kind: list[AttemptKind] | None = strawberry.field(default=None, description="Of one of these kinds.")
    transaction_id: strawberry.ID | None = strawberry.field(default=None, description="Of this transaction.")

    def to_filter(self) -> Filter:
        return Filter(
            needs_attention=self.needs_attention,
            states=None if self.state is None else frozenset(self.state),
            kinds=None if self.kind is None else frozenset(self.kind),
            transaction_id=None
            if self.transaction_id is None
            else TransactionId(ids.decode_or_nil(IdKind.TRANSACTION, self.transaction_id)),
        )


@strawberry.type
class RecoveryQueries:
    """The queries about attempts."""

    @strawberry.field(
        description="Attempts that are not done yet, oldest first. Staff only.",
        metadata=needs(Capability.ATTEMPTS_READ),
    )
    async def attempts(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[AttemptFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> Connection[Attempt]:
        scope = info.context.require_actor().scope_of(Capability.ATTEMPTS_READ)
        where = ANY_OPEN_ATTEMPT if filter is None else filter.to_filter()
        page = page_request(first, after, last, before, ordering=OLDEST_FIRST)
        reader = info.context.readers.attempts
        return connection(
            await reader.attempts(where, page, scope),
            OLDEST_FIRST,
            attempt_type,
            lambda: reader.count_attempts(where, scope),
        )


@strawberry.input(description="A person's decision about an attempt that needs one.")
class ResolveAttemptInput:
    """What resolveAttempt takes."""

    idempotency_key: str = strawberry.field(
        description="A name of your own for this decision, 1 to 255 characters: the same key with the same input decides once."
    )
    attempt_id: strawberry.ID = strawberry.field(description="The attempt: see attempts and Transaction.recovery.")
    resolution: AttemptResolution = strawberry.field(description="What is decided.")
    reason: str = strawberry.field(description="Why, for the audit log, where staff can read it: 1 to 1000 characters.")
    processor_reference: str | None = strawberry.field(
        default=None, description="The processor's id of the refund, for MARK_REFUNDED."
    )


@strawberry.type(description="What came of resolveAttempt.")
class ResolveAttemptPayload:
    """The attempt and its transaction after the decision."""

    attempt_id: strawberry.Private[AttemptId | None]

    transaction: LazyTransaction | None = strawberry.field(
        description="The transaction as it stands; null when the decision was refused."
    )
    errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")
    replayed: bool = strawberry.field(
        description="Whether an earlier request with the same idempotency key had decided it."
    )

    @strawberry.field(description="The attempt as it stands; null when the decision was refused.")
    async def attempt(self, info: Info) -> Attempt | None:
        if self.transaction is None or self.attempt_id is None:
            return None
        record = await info.context.loaders.attempts.load(self.attempt_id)
        return None if record is None else attempt_type(record)


@strawberry.type
class RecoveryMutations:
    """The mutation by which a person decides."""

    @strawberry.mutation(
        description="Decide about an attempt that needs a person. The processor is asked first, and a decision that it "
        "contradicts is refused. Administrators only; audited with the reason.",
        metadata=needs(Capability.ATTEMPTS_RESOLVE),
    )
    async def resolve_attempt(
        self,
        info: Info,
        input: Annotated[ResolveAttemptInput, strawberry.argument(description="What is decided, and why.")],
    ) -> ResolveAttemptPayload:
        value = ids.decode_as(IdKind.ATTEMPT, input.attempt_id)
        attempt_id = None if value is None else AttemptId(value)
        wanted = NewResolution(
            idempotency_key=input.idempotency_key,
            attempt_id=attempt_id,
            resolution=input.resolution,
            reason=input.reason,
            processor_reference=input.processor_reference,
        )
        answer = await answer_of(info.context, lambda actor: info.context.acts.resolve_attempt(actor, wanted))
        return ResolveAttemptPayload(
            attempt_id=attempt_id,
            transaction=None if answer.transaction is None else linked(answer.transaction),
            errors=user_errors(answer.refusals),
            replayed=answer.replayed,
        )
