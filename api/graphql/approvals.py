"""Refunds as a list, and the mutations by which a second person decides about those that wait."""

from typing import Annotated

import strawberry

from api.graphql.context import Info
from api.graphql.mutations import ERRORS, KEY, REPLAYED, answer_of
from api.graphql.paging import After, Before, Connection, First, Last, connection, page_request
from api.graphql.problems import UserError, user_errors
from api.graphql.refunds import LATEST_FIRST, Refund, refund_type
from api.graphql.rules import needs
from api.graphql.transaction_links import LazyTransaction, linked
from domain import ids
from domain.access import Capability
from domain.ids import IdKind, RefundId, TransactionId
from domain.payments.answer import Answer
from domain.payments.decide_refund import NewDecision
from domain.payments.queries import ANY_REFUND
from domain.payments.queries import RefundFilter as Filter
from domain.payments.refund import RefundStatus


@strawberry.input(description="Which refunds a list holds; all conditions must hold.")
class RefundFilter:
    """The domain's filter as it comes in."""

    status: list[RefundStatus] | None = strawberry.field(default=None, description="In one of these statuses.")
    needs_approval: bool | None = strawberry.field(
        default=None, description="Whether it waits for the approval of a second person."
    )
    transaction_id: strawberry.ID | None = strawberry.field(default=None, description="Of this transaction.")

    def to_filter(self) -> Filter:
        return Filter(
            statuses=None if self.status is None else frozenset(self.status),
            needs_approval=self.needs_approval,
            transaction_id=None
            if self.transaction_id is None
            else TransactionId(ids.decode_or_nil(IdKind.TRANSACTION, self.transaction_id)),
        )


@strawberry.type
class RefundQueries:
    """The queries about refunds."""

    @strawberry.field(
        description="Refunds, the latest first, as far as you may see them.", metadata=needs(Capability.PAYMENTS_READ)
    )
    async def refunds(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[RefundFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> Connection[Refund]:
        scope, reader = info.context.require_actor().scope, info.context.readers.payments
        where = ANY_REFUND if filter is None else filter.to_filter()
        page = page_request(first, after, last, before, ordering=LATEST_FIRST)
        return connection(
            await reader.refunds(scope, where, page),
            LATEST_FIRST,
            refund_type,
            lambda: reader.count_refunds(scope, where),
        )


@strawberry.input(description="A refund of somebody else's that is to be made.")
class ApproveRefundInput:
    """What approveRefund takes."""

    idempotency_key: str = strawberry.field(description=KEY)
    refund_id: strawberry.ID = strawberry.field(description="Which: one that is PENDING_APPROVAL.")


@strawberry.type(description="What came of approveRefund.")
class ApproveRefundPayload:
    """The refund with its transaction."""

    refund: Refund | None = strawberry.field(description="The refund as it stands; null when the input was refused.")
    transaction: LazyTransaction | None = strawberry.field(description="The transaction after the refund.")
    errors: list[UserError] = strawberry.field(description="Why it was refused or failed; empty when all is well.")
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.input(description="A refund of somebody else's that is not to be made.")
class RejectRefundInput:
    """What rejectRefund takes."""

    idempotency_key: str = strawberry.field(description=KEY)
    refund_id: strawberry.ID = strawberry.field(description="Which: one that is PENDING_APPROVAL.")
    reason: str = strawberry.field(description="Why, for the audit log, where staff can read it: 1 to 500 characters.")


@strawberry.type(description="What came of rejectRefund.")
class RejectRefundPayload:
    """The refund with its transaction, whose money is free again."""

    refund: Refund | None = strawberry.field(description="The refund as it stands; null when the input was refused.")
    transaction: LazyTransaction | None = strawberry.field(description="The transaction as it stands.")
    errors: list[UserError] = strawberry.field(description=ERRORS)
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.type
class ApprovalMutations:
    """The mutations of the second person."""

    @strawberry.mutation(
        description="Have a refund made that waits for approval. Never one that you asked for, and never one of your own "
        "payment. For administrators.",
        metadata=needs(Capability.REFUNDS_APPROVE),
    )
    async def approve_refund(
        self,
        info: Info,
        input: Annotated[ApproveRefundInput, strawberry.argument(description="Which refund.")],
    ) -> ApproveRefundPayload:
        wanted = NewDecision(idempotency_key=input.idempotency_key, refund_id=_refund_id(input.refund_id))
        answer = await answer_of(info.context, lambda actor: info.context.acts.decide_refund.approve(actor, wanted))
        return ApproveRefundPayload(
            refund=_refund(answer),
            transaction=None if answer.transaction is None else linked(answer.transaction),
            errors=user_errors(answer.refusals),
            replayed=answer.replayed,
        )

    @strawberry.mutation(
        description="Let a refund be that waits for approval; its money can be refunded again. Never one that you asked for, and "
        "never one of your own payment. For administrators.",
        metadata=needs(Capability.REFUNDS_APPROVE),
    )
    async def reject_refund(
        self,
        info: Info,
        input: Annotated[RejectRefundInput, strawberry.argument(description="Which refund, and why not.")],
    ) -> RejectRefundPayload:
        wanted = NewDecision(
            idempotency_key=input.idempotency_key, refund_id=_refund_id(input.refund_id), reason=input.reason
        )
        answer = await answer_of(info.context, lambda actor: info.context.acts.decide_refund.reject(actor, wanted))
        return RejectRefundPayload(
            refund=_refund(answer),
            transaction=None if answer.transaction is None else linked(answer.transaction),
            errors=user_errors(answer.refusals),
            replayed=answer.replayed,
        )


def _refund(answer: Answer) -> Refund | None:
    return None if answer.refund is None else refund_type(answer.refund, answer.transaction)


def _refund_id(text: str) -> RefundId | None:
    value = ids.decode_as(IdKind.REFUND, text)
    return None if value is None else RefundId(value)
