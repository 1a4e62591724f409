"""Approve or reject a refund that waits for a second person: only then is anything sent, or its money free again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from domain.access import Actor, Capability
from domain.audit import AuditAction, AuditEntry, Origin
from domain.errors import NotApprovable, NotFound, NotRefundable, SecondPersonNeeded
from domain.idempotency import KeyedAct, KeyUse, fingerprint, first_use
from domain.ids import AttemptId, IdKind, RefundId, encode
from domain.payments.answer import Answer, refusals_of_refund
from domain.payments.attempt import Attempt
from domain.payments.refund import Refund, RefundStatus
from domain.payments.refund_payment import refund_attempt
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import Transaction
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork
from domain.text import JsonValue, check_idempotency_key, check_reason

REASON_LENGTH_MAX = 500
_REFUND = ("input", "refundId")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """What is asked for. `refund_id` is None for an id that is none of ours; `reason` is told for a rejection."""

    idempotency_key: str
    refund_id: RefundId | None
    reason: str | None = None


class DecideRefund:
    """The acts behind the mutations approveRefund and rejectRefund."""

    def __init__(self, *, units: UnitsOfWork, runner: AttemptRunner, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._runner = runner
        self._clock = clock
        self._ids = ids

    async def approve(self, actor: Actor, wanted: NewDecision) -> Answer:
        """Have the refund made.

        Raises Forbidden, or a Refusal, and has changed nothing then: where it does not wait, where it is the actor's own, and
        while its payment is disputed.
        """

        async def carry_out(uow: UnitOfWork, transaction: Transaction, refund: Refund, now: datetime) -> Attempt:
            if transaction.disputed:
                raise NotRefundable("The payment is disputed; the dispute decides about its money.", path=_REFUND)
            await uow.refunds.save(_decided(refund, RefundStatus.PENDING, actor, now))
            attempt = refund_attempt(AttemptId(self._ids.new()), refund)
            await uow.attempts.add(attempt)
            await uow.audit.append(self._entry(actor, AuditAction.REFUND_APPROVED, refund, now, {}))
            return attempt

        return await self._decide(actor, KeyedAct.APPROVE_REFUND, wanted, carry_out)

    async def reject(self, actor: Actor, wanted: NewDecision) -> Answer:
        """Let the refund be, and its money free. Raises as `approve` does, but for the dispute."""
        reason = wanted.reason or ""

        async def carry_out(uow: UnitOfWork, transaction: Transaction, refund: Refund, now: datetime) -> None:
            await uow.refunds.save(_decided(refund, RefundStatus.REJECTED, actor, now))
            left = transaction.refund_reserved - refund.money.minor_units
            await uow.transactions.save(replace(transaction, refund_reserved=left, updated_at=now))
            await uow.audit.append(self._entry(actor, AuditAction.REFUND_REJECTED, refund, now, {"reason": reason}))

        check_reason(reason, length_max=REASON_LENGTH_MAX)
        return await self._decide(actor, KeyedAct.REJECT_REFUND, wanted, carry_out)

    async def _decide(
        self,
        actor: Actor,
        act: KeyedAct,
        wanted: NewDecision,
        carry_out: Callable[[UnitOfWork, Transaction, Refund, datetime], Awaitable[Attempt | None]],
    ) -> Answer:
        actor.require(Capability.REFUNDS_APPROVE)
        check_idempotency_key(wanted.idempotency_key)
        if wanted.refund_id is None:
            raise NotFound(path=_REFUND)
        async with self._units.begin() as uow:
            # Which payment it is of never changes; all else is read again under that payment's lock.
            found = await uow.refunds.get(wanted.refund_id)
            if found is None:
                raise NotFound(path=_REFUND)
            use = KeyUse(
                actor_id=actor.user_id,
                act=act,
                key=wanted.idempotency_key,
                fingerprint=fingerprint({"refundId": str(wanted.refund_id), "reason": wanted.reason}),
                transaction_id=found.transaction_id,
                refund_id=found.id,
            )
            earlier = await first_use(uow.keys, use)
            if earlier is not None:
                return await self._answer(uow, earlier, replayed=True)
            transaction, refund = await self._lock(uow, actor, found)
            attempt = await carry_out(uow, transaction, refund, self._clock.now())
        if attempt is not None:
            await self._runner.run(attempt, origin=Origin.RESPONSE)
        async with self._units.autocommit() as uow:
            return await self._answer(uow, use, replayed=False)

    async def _lock(self, uow: UnitOfWork, actor: Actor, found: Refund) -> tuple[Transaction, Refund]:
        """The payment under lock and its refund, if it waits for this actor's word."""
        transaction = await uow.transactions.lock(found.transaction_id, actor.reach)
        refund = await uow.refunds.get(found.id)
        if transaction is None or refund is None:
            raise NotFound(path=_REFUND)
        if refund.status is not RefundStatus.PENDING_APPROVAL:
            raise NotApprovable(f"The refund is {refund.status}.", path=_REFUND)
        # An API key acts for its owner, who is who asked; and nobody sends money to themselves.
        if actor.user_id in {refund.requested_by, transaction.user_id}:
            raise SecondPersonNeeded(path=_REFUND)
        return transaction, refund

    def _entry(
        self, actor: Actor, action: AuditAction, refund: Refund, at: datetime, more: dict[str, JsonValue]
    ) -> AuditEntry:
        return AuditEntry.by(
            actor,
            action,
            new_id=self._ids.new(),
            transaction_id=refund.transaction_id,
            details={
                "refundId": encode(IdKind.REFUND, refund.id),
                "amountMinor": str(refund.money.minor_units),
                **more,
            },
            at=at,
        )

    async def _answer(self, uow: UnitOfWork, use: KeyUse, *, replayed: bool) -> Answer:
        refund = None if use.refund_id is None else await uow.refunds.get(use.refund_id)
        # That it was rejected is what the mutation rejectRefund was asked for, and no refusal of it.
        told = () if refund is None or use.act is KeyedAct.REJECT_REFUND else refusals_of_refund(refund)
        return Answer(
            transaction=await uow.transactions.get(use.transaction_id), refund=refund, refusals=told, replayed=replayed
        )


def _decided(refund: Refund, status: RefundStatus, actor: Actor, at: datetime) -> Refund:
    return replace(refund, status=status, decided_by=actor.user_id, decided_at=at, updated_at=at)
