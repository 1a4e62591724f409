"""Refund a payment: claim the money first, so that no race can give back more than was taken; then send it."""

from dataclasses import dataclass

from domain.access import Actor
from domain.audit import AuditAction, AuditEntry, Origin
from domain.errors import NotFound
from domain.idempotency import KeyedAct, KeyUse, fingerprint, first_use
from domain.ids import AttemptId, IdKind, RefundId, TransactionId, encode
from domain.money import Money
from domain.payments.answer import Answer, refusals_of_refund
from domain.payments.attempt import Attempt, AttemptKind, AttemptStep
from domain.payments.refund import Refund, RefundReason, RefundStatus
from domain.payments.refund_policy import RefundPolicy
from domain.payments.rules import check_refund, exceeds_remaining
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import Transaction
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork
from domain.text import check_idempotency_key


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """What is asked for: all that is left where `money` is None. `transaction_id` is None for an id that is none of ours."""

    idempotency_key: str
    transaction_id: TransactionId | None
    money: Money | None
    reason: RefundReason | None

    def fingerprint(self) -> bytes:
        return fingerprint(
            {
                "transactionId": str(self.transaction_id),
                "money": None if self.money is None else str(self.money),
                "reason": None if self.reason is None else self.reason.value,
            }
        )


class RefundPayment:
    """The act behind the mutation refund."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        runner: AttemptRunner,
        clock: Clock,
        ids: IdSource,
        policy: RefundPolicy,
    ) -> None:
        self._units = units
        self._runner = runner
        self._clock = clock
        self._ids = ids
        self.policy = policy

    async def __call__(self, actor: Actor, wanted: NewRefund) -> Answer:
        """Refund, or answer with what an earlier request with the same key came to.

        One that has to wait for a second person claims its money, and nothing is sent (domain/payments/decide_refund.py).
        Raises Forbidden, or a Refusal, and has changed nothing then, where there is nothing to refund in this way.
        """
        self.policy.check_may_refund(actor)
        check_idempotency_key(wanted.idempotency_key)
        if wanted.transaction_id is None:
            raise NotFound(path=("input", "transactionId"))
        refund_id = RefundId(self._ids.new())
        use = KeyUse(
            actor_id=actor.user_id,
            act=KeyedAct.REFUND,
            key=wanted.idempotency_key,
            fingerprint=wanted.fingerprint(),
            transaction_id=wanted.transaction_id,
            refund_id=refund_id,
        )
        async with self._units.begin() as uow:
            earlier = await first_use(uow.keys, use)
            if earlier is not None:
                return await self._answer(uow, earlier, replayed=True)
            transaction, money = await self._check(uow, actor, wanted, wanted.transaction_id)
            if not await uow.transactions.reserve_refund(transaction.id, money.minor_units):
                raise exceeds_remaining(transaction)
            refund = self._draft(actor, wanted, refund_id, transaction, money)
            attempt = None
            await uow.refunds.add(refund)
            if refund.status is RefundStatus.PENDING:
                attempt = refund_attempt(AttemptId(self._ids.new()), refund)
                await uow.attempts.add(attempt)
            await uow.audit.append(self._requested(actor, refund))
        if attempt is not None:
            await self._runner.run(attempt, origin=Origin.RESPONSE)
        async with self._units.autocommit() as uow:
            return await self._answer(uow, use, replayed=False)

    async def _check(
        self, uow: UnitOfWork, actor: Actor, wanted: NewRefund, transaction_id: TransactionId
    ) -> tuple[Transaction, Money]:
        """The transaction under lock and the amount to refund, if it may be refunded."""
        transaction = await uow.transactions.lock(transaction_id, actor.reach)
        if transaction is None:
            raise NotFound(path=("input", "transactionId"))
        return transaction, check_refund(transaction, wanted.money)

    def _draft(
        self, actor: Actor, wanted: NewRefund, refund_id: RefundId, transaction: Transaction, money: Money
    ) -> Refund:
        now = self._clock.now()
        waits = self.policy.waits(actor, transaction, money)
        return Refund(
            id=refund_id,
            transaction_id=transaction.id,
            status=RefundStatus.PENDING_APPROVAL if waits else RefundStatus.PENDING,
            money=money,
            reason=wanted.reason,
            requested_by=actor.user_id,
            created_at=now,
            updated_at=now,
        )

    def _requested(self, actor: Actor, refund: Refund) -> AuditEntry:
        return AuditEntry.by(
            actor,
            AuditAction.REFUND_REQUESTED,
            new_id=self._ids.new(),
            transaction_id=refund.transaction_id,
            details={
                "refundId": encode(IdKind.REFUND, refund.id),
                "amountMinor": str(refund.money.minor_units),
                "reason": None if refund.reason is None else refund.reason.value,
                "waitsForApproval": refund.status is RefundStatus.PENDING_APPROVAL,
            },
            at=refund.created_at,
        )

    async def _answer(self, uow: UnitOfWork, use: KeyUse, *, replayed: bool) -> Answer:
        refund = await uow.refunds.get(use.refund_id) if use.refund_id is not None else None
        return Answer(
            transaction=await uow.transactions.get(use.transaction_id),
            refund=refund,
            refusals=refusals_of_refund(refund) if refund is not None else (),
            replayed=replayed,
        )


def refund_attempt(new_id: AttemptId, refund: Refund) -> Attempt:
    """The attempt to have the processor make a refund."""
    return Attempt(
        id=new_id,
        kind=AttemptKind.REFUND,
        transaction_id=refund.transaction_id,
        refund_id=refund.id,
        amount=refund.money.minor_units,
        step=AttemptStep.SEND,
    )
