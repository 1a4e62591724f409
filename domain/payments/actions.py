"""What can be done with a transaction now, told before anybody tries: by the same rules by which the acts refuse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.access import Actor, Scope
from domain.errors import Forbidden, Refusal
from domain.ids import NIL, RefundId, TransactionId
from domain.ledger import postings
from domain.ledger.entries import Posting
from domain.money import Money
from domain.payments.refund import Refund, RefundStatus
from domain.payments.refund_policy import RefundPolicy
from domain.payments.rules import (
    check_capture,
    check_may_follow_up,
    check_refund,
    check_void,
)
from domain.payments.transaction import Transaction, TransactionStatus, status_after_refunds


class ActionKind(StrEnum):
    """Something that can be done with a transaction."""

    CAPTURE = "CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"


@dataclass(frozen=True, slots=True)
class Action:
    """Whether an actor may do something now: up to how much, where money moves, or why not.

    `at_once` is the most that is done without the approval of a second person; None where none is needed.
    """

    kind: ActionKind
    max_money: Money | None
    reason: str | None
    at_once: Money | None = None

    @property
    def allowed(self) -> bool:
        return self.reason is None


class FollowUpReader(Protocol):
    """A read for previews; the acts decide under lock."""

    async def open_follow_ups(self, transaction_ids: Sequence[TransactionId], scope: Scope) -> dict[TransactionId, int]:
        """How many captures and voids of each transaction are not decided yet; one without any is left out."""
        ...


def permitted_actions(
    actor: Actor, transaction: Transaction, *, follow_up_open: bool, policy: RefundPolicy
) -> list[Action]:
    """Every kind of action, allowed or not, as it stands for this actor."""

    def capture() -> Money:
        check_may_follow_up(actor)
        return check_capture(transaction, None, follow_up_open=follow_up_open)

    def void() -> None:
        check_may_follow_up(actor)
        check_void(transaction, follow_up_open=follow_up_open)

    def refund() -> Money:
        policy.check_may_refund(actor)
        return check_refund(transaction, None)

    return [
        _action(ActionKind.CAPTURE, capture),
        _action(ActionKind.VOID, void),
        _action(ActionKind.REFUND, refund, policy.at_once(actor, transaction)),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPreview:
    """What a refund would come to. `fee_kept` is what the processor keeps all the same; None until its fee is known."""

    money: Money
    refundable_after: Money
    fee_kept: Money | None
    status_after: TransactionStatus
    postings: tuple[Posting, ...]
    needs_approval: bool


def preview_refund(
    actor: Actor, transaction: Transaction, money: Money | None, *, policy: RefundPolicy
) -> RefundPreview:
    """What a refund by this actor would come to, once it is complete. Raises as the act does."""
    policy.check_may_refund(actor)
    wanted = check_refund(transaction, money)
    refund = Refund(
        id=RefundId(NIL),
        transaction_id=transaction.id,
        status=RefundStatus.COMPLETED,
        money=wanted,
        reason=None,
        requested_by=actor.user_id,
        created_at=transaction.updated_at,
        updated_at=transaction.updated_at,
    )
    return RefundPreview(
        money=wanted,
        refundable_after=transaction.in_own_currency(transaction.refundable - wanted.minor_units),
        fee_kept=transaction.fee,
        status_after=status_after_refunds(transaction.captured, transaction.refunded + wanted.minor_units),
        postings=(
            *postings.of_refund_sent(transaction, refund, "preview", None),
            postings.of_refund_settled(transaction, refund, "preview"),
        ),
        needs_approval=policy.waits(actor, transaction, wanted),
    )


def _action(kind: ActionKind, check: Callable[[], Money | None], at_once: Money | None = None) -> Action:
    try:
        return Action(kind, check(), None, at_once)
    except (Forbidden, Refusal) as refusal:
        return Action(kind, None, refusal.message)
