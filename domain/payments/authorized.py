"""What may be done with an authorized payment: take the money (capture) or let it go (void)."""

from collections.abc import Callable
from dataclasses import dataclass

from domain.access import Actor
from domain.audit import AuditAction, AuditEntry, Origin
from domain.errors import (
    NotCapturable,
    NotFound,
    NotVoidable,
    ProcessorUnavailable,
    Refusal,
)
from domain.idempotency import KeyedAct, KeyUse, fingerprint, first_use
from domain.ids import AttemptId, TransactionId
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.attempt import Attempt, AttemptKind, AttemptStep
from domain.payments.rules import check_capture, check_may_follow_up, check_void, on_its_way
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import CAPTURED, Transaction, TransactionStatus
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork
from domain.text import check_idempotency_key


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCapture:
    """What is asked for: the whole authorized amount where `money` is None. The rest is released to the payer."""

    idempotency_key: str
    transaction_id: TransactionId | None
    money: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVoid:
    """The authorization to let go."""

    idempotency_key: str
    transaction_id: TransactionId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """How capture and void differ."""

    kind: AttemptKind
    keyed: KeyedAct
    requested: AuditAction
    refusal: type[NotCapturable | NotVoidable]
    done: frozenset[TransactionStatus]


_CAPTURE = _Act(
    kind=AttemptKind.CAPTURE,
    keyed=KeyedAct.CAPTURE,
    requested=AuditAction.CAPTURE_REQUESTED,
    refusal=NotCapturable,
    done=CAPTURED,
)
_VOID = _Act(
    kind=AttemptKind.VOID,
    keyed=KeyedAct.VOID,
    requested=AuditAction.VOID_REQUESTED,
    refusal=NotVoidable,
    done=frozenset({TransactionStatus.CANCELED}),
)


class AuthorizedPayments:
    """The acts behind the mutations capture and void. For staff: both are the merchant's decision."""

    def __init__(self, *, units: UnitsOfWork, runner: AttemptRunner, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._runner = runner
        self._clock = clock
        self._ids = ids

    async def capture(self, actor: Actor, wanted: NewCapture) -> Answer:
        """Take authorized money.

        Raises Forbidden, or a Refusal, and has changed nothing then, where it cannot be captured.
        """

        def amount_of(transaction: Transaction) -> int | None:
            return check_capture(transaction, wanted.money).minor_units

        return await self._act(actor, _CAPTURE, wanted.idempotency_key, wanted.transaction_id, wanted.money, amount_of)

    async def void(self, actor: Actor, wanted: NewVoid) -> Answer:
        """Cancel a payment whose money has not been taken. Raises as `capture` does."""

        def amount_of(transaction: Transaction) -> int | None:
            check_void(transaction)
            return None

        return await self._act(actor, _VOID, wanted.idempotency_key, wanted.transaction_id, None, amount_of)

    async def _act(
        self,
        actor: Actor,
        act: _Act,
        key: str,
        transaction_id: TransactionId | None,
        money: Money | None,
        amount_of: Callable[[Transaction], int | None],
    ) -> Answer:
        check_may_follow_up(actor)
        check_idempotency_key(key)
        if transaction_id is None:
            raise NotFound(path=("input", "transactionId"))
        use = KeyUse(
            actor_id=actor.user_id,
            act=act.keyed,
            key=key,
            fingerprint=fingerprint(
                {"transactionId": str(transaction_id), "money": None if money is None else str(money)}
            ),
            transaction_id=transaction_id,
        )
        async with self._units.begin() as uow:
            earlier = await first_use(uow.keys, use)
            if earlier is not None:
                return await self._answer(uow, act, earlier.transaction_id, replayed=True)
            transaction = await uow.transactions.lock(transaction_id, actor.reach)
            if transaction is None:
                raise NotFound(path=("input", "transactionId"))
            attempt = Attempt(
                id=AttemptId(self._ids.new()),
                kind=act.kind,
                transaction_id=transaction_id,
                amount=amount_of(transaction),
                step=AttemptStep.SEND,
            )
            if not await uow.attempts.add_only(attempt):
                raise on_its_way(act.refusal)
            await uow.audit.append(self._requested(actor, act, attempt))
        await self._runner.run(attempt, origin=Origin.RESPONSE)
        async with self._units.autocommit() as uow:
            return await self._answer(uow, act, transaction_id, replayed=False)

    def _requested(self, actor: Actor, act: _Act, attempt: Attempt) -> AuditEntry:
        return AuditEntry.by(
            actor,
            act.requested,
            new_id=self._ids.new(),
            transaction_id=attempt.transaction_id,
            details={} if attempt.amount is None else {"amountMinor": str(attempt.amount)},
            at=self._clock.now(),
        )

    async def _answer(self, uow: UnitOfWork, act: _Act, transaction_id: TransactionId, *, replayed: bool) -> Answer:
        # In this order: an attempt that is over has left its mark on the transaction before it is read.
        is_open = await uow.attempts.is_open(transaction_id, act.kind)
        transaction = await uow.transactions.get(transaction_id)
        refusals: tuple[Refusal, ...] = ()
        if transaction is not None and transaction.status not in act.done:
            if is_open:
                refusals = (ProcessorUnavailable(),)
            else:
                refusals = (act.refusal(f"The processor did not do it; the transaction is {transaction.status}."),)
        return Answer(transaction=transaction, refusals=refusals, replayed=replayed)
