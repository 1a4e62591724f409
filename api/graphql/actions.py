"""What can be done with a transaction, and what a refund would come to, told before anybody tries."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from api.graphql.context import Context, Info
from api.graphql.ledger import LedgerEntry, ledger_entry_types
from api.graphql.money import MoneyInput, MoneyType, money_type
from api.graphql.problems import UserError, user_errors
from api.graphql.rules import needs, withheld_without
from domain import ids
from domain.access import Capability
from domain.errors import NotFound, Refusal
from domain.ids import IdKind, TransactionId
from domain.ledger.entries import EntryKind
from domain.payments import actions
from domain.payments.actions import ActionKind
from domain.payments.transaction import Transaction as TransactionRecord
from domain.payments.transaction import TransactionStatus


@strawberry.type(description="Something that can be done with a transaction, or why it cannot be done by you now.")
class TransactionAction:
    """A permitted or refused action on the wire."""

    kind: ActionKind = strawberry.field(description="What.")
    allowed: bool = strawberry.field(description="Whether the mutation would be accepted now.")
    max_money: MoneyType | None = strawberry.field(
        description="The most that can be captured or refunded; null where it is not allowed, and for VOID."
    )
    reason: str | None = strawberry.field(description="Why it is not allowed, in a sentence; null where it is.")
    max_money_at_once: MoneyType | None = strawberry.field(
        description="For REFUND: more than this waits for the approval of a second person; null where nothing has to wait."
    )


async def actions_of(context: Context, records: Sequence[TransactionRecord]) -> list[list[TransactionAction]]:
    """What the field Transaction.actions shows of these transactions."""
    open_follow_ups = await context.loaders.open_follow_ups.load_many([each.id for each in records])
    return [_actions(context, record, count) for record, count in zip(records, open_follow_ups, strict=True)]


def _actions(context: Context, record: TransactionRecord, open_follow_ups: int) -> list[TransactionAction]:
    permitted = actions.permitted_actions(
        context.require_actor(),
        record,
        follow_up_open=open_follow_ups > 0,
        policy=context.acts.refund_payment.policy,
    )
    return [
        TransactionAction(
            kind=action.kind,
            allowed=action.allowed,
            max_money=None if action.max_money is None else money_type(action.max_money),
            reason=action.reason,
            max_money_at_once=None if action.at_once is None else money_type(action.at_once),
        )
        for action in permitted
    ]


@strawberry.input(description="A refund to think about.")
class PreviewRefundInput:
    """What previewRefund takes."""

    transaction_id: strawberry.ID = strawberry.field(description="The transaction whose money would go back.")
    money: MoneyInput | None = strawberry.field(default=None, description="How much: all that is left, when absent.")


@strawberry.type(description="A journal entry that would be posted.")
class JournalEntryPreview:
    """A posting on the wire."""

    kind: EntryKind = strawberry.field(description="What would have happened.")
    lines: list[LedgerEntry] = strawberry.field(
        description="Its lines. An account that was never posted to does not exist yet."
    )


@strawberry.type(description="What a refund would come to, once it is complete.")
class RefundPreview:
    """A refund that was not made."""

    money: MoneyType = strawberry.field(description="What would go back.")
    refundable_after: MoneyType = strawberry.field(description="What could still be refunded afterwards.")
    fee_kept: MoneyType | None = strawberry.field(
        description="What the processor keeps of the payment all the same; null until it has told its fee."
    )
    status_after: TransactionStatus = strawberry.field(description="Where the transaction would stand.")
    needs_approval: bool = strawberry.field(
        description="Whether it would wait, PENDING_APPROVAL, until a second person approves it."
    )
    postings: list[JournalEntryPreview] | None = strawberry.field(
        description="What would be posted to the ledger; null for anybody but staff.",
        metadata=withheld_without(Capability.LEDGER_READ),
    )


@strawberry.type(description="What came of previewRefund.")
class PreviewRefundPayload:
    """The preview, or what the mutation would answer."""

    preview: RefundPreview | None = strawberry.field(description="What it would come to; null where it is refused.")
    errors: list[UserError] = strawberry.field(
        description="Why the mutation would refuse it; empty where it would not."
    )


@strawberry.type
class ActionQueries:
    """The queries that tell what a mutation would do."""

    @strawberry.field(
        description="What the mutation refund would do with this input now. It changes nothing.",
        metadata=needs(Capability.PAYMENTS_REFUND),
    )
    async def preview_refund(
        self,
        info: Info,
        input: Annotated[PreviewRefundInput, strawberry.argument(description="What would be given back.")],
    ) -> PreviewRefundPayload:
        try:
            preview = await _preview(info.context, input)
        except Refusal as refusal:
            return PreviewRefundPayload(preview=None, errors=user_errors([refusal]))
        return PreviewRefundPayload(preview=_refund_preview(preview), errors=[])


async def _preview(context: Context, wanted: PreviewRefundInput) -> actions.RefundPreview:
    money = None if wanted.money is None else wanted.money.to_money()
    actor = context.require_actor()
    transaction_id = ids.decode_as(IdKind.TRANSACTION, wanted.transaction_id)
    record = None if transaction_id is None else await context.loaders.transactions.load(TransactionId(transaction_id))
    if record is None:
        raise NotFound(path=("input", "transactionId"))
    return actions.preview_refund(actor, record, money, policy=context.acts.refund_payment.policy)


def _refund_preview(preview: actions.RefundPreview) -> RefundPreview:
    return RefundPreview(
        money=money_type(preview.money),
        refundable_after=money_type(preview.refundable_after),
        fee_kept=None if preview.fee_kept is None else money_type(preview.fee_kept),
        status_after=preview.status_after,
        needs_approval=preview.needs_approval,
        postings=[
            JournalEntryPreview(kind=each.kind, lines=ledger_entry_types(each.lines)) for each in preview.postings
        ],
    )
