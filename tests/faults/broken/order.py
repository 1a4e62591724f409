"""What is done before what: the call before the commit, the refund before its reservation."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor
from domain.audit import Origin
from domain.idempotency import KeyedAct, KeyUse, first_use
from domain.ids import TransactionId
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.create_payment import CreatePayment, NewPayment, _check
from domain.payments.gateway import ChargeOrder
from domain.payments.outcomes import Outcomes
from domain.payments.refund import Refund, RefundStatus
from domain.payments.refund_payment import NewRefund, RefundPayment
from domain.payments.refund_policy import RefundPolicy
from domain.payments.transaction import Transaction
from domain.ports import UnitOfWork
from persistence.unit_of_work import SqlUnitOfWork
from tests.faults.acts import FaultyActs, as_it_is
from tests.faults.broken.parts import with_outcomes
from tests.faults.processor import FaultyGateway
from tests.support.clock import SequentialIds


class _CallFirst(CreatePayment):
    """Takes the money, then writes it down."""

    async def __call__(self, actor: Actor, payment: NewPayment) -> Answer:
        metadata = _check(payment)
        async with self._units.begin() as uow:
            earlier = await uow.keys.find(actor.user_id, KeyedAct.CREATE_PAYMENT, payment.idempotency_key)
            if earlier is not None:
                return await self._answer(uow, earlier.transaction_id, replayed=True)
        transaction, attempt = self._draft(actor, payment, metadata, None)
        order = ChargeOrder(
            transaction_id=transaction.id,
            money=transaction.money,
            payment_method_id=transaction.payment_method_id,
            capture_method=transaction.capture_method,
            description=transaction.description,
        )
        key = f"{actor.user_id}:{payment.idempotency_key}"
        created = await self._gateway.create_charge(order, key=f"{key}:create")
        report = await self._gateway.confirm_charge(created.reference, return_url=None, key=f"{key}:confirm")
        use = KeyUse(
            actor_id=actor.user_id,
            act=KeyedAct.CREATE_PAYMENT,
            key=payment.idempotency_key,
            fingerprint=payment.fingerprint(metadata),
            transaction_id=transaction.id,
        )
        async with self._units.begin() as uow:
            if await first_use(uow.keys, use) is None:
                await uow.transactions.add(transaction)
                await uow.attempts.add(attempt)
                await uow.audit.append(self._created(actor, transaction))
                await self._runner._outcomes.apply_charge(uow, report, Origin.RESPONSE)
        async with self._units.autocommit() as uow:
            return await self._answer(uow, transaction.id, replayed=False)


def call_first(engine: AsyncEngine, processor: FaultyGateway, ids: SequentialIds) -> FaultyActs:
    """Florin that commits after the call only."""
    acts = as_it_is(engine, processor, ids)
    acts.create_payment = _CallFirst(
        units=acts.units,
        gateway=processor,
        runner=acts.refund_payment._runner,
        clock=acts.clock,
        ids=ids,
        default_return_url=None,
    )
    return acts


class _Unreserved(RefundPayment):
    """Looks how much is left, and claims nothing of it."""

    async def _check(
        self, uow: UnitOfWork, actor: Actor, wanted: NewRefund, transaction_id: TransactionId
    ) -> tuple[Transaction, Money]:
        transaction, money = await super()._check(uow, actor, wanted, transaction_id)
        assert isinstance(uow, SqlUnitOfWork)
        uow.transactions.reserve_refund = _claim_nothing  # type: ignore[method-assign]  # what this variant leaves out
        return transaction, money


async def _claim_nothing(transaction_id: TransactionId, minor_units: int, *, despite_dispute: bool = False) -> bool:
    return True


class _BookedAfterwards(Outcomes):
    """Books a refund when it has been made."""

    async def _settle_refund(
        self,
        uow: UnitOfWork,
        transaction: Transaction,
        before: Refund,
        after: Refund,
        origin: Origin,
        *,
        settled: Money | None = None,
    ) -> tuple[Refund, Transaction]:
        if before.status is RefundStatus.PENDING and after.status is not RefundStatus.PENDING:
            reserved = min(transaction.refund_reserved + after.money.minor_units, transaction.captured)
            transaction = await uow.transactions.save(replace(transaction, refund_reserved=reserved))
        return await super()._settle_refund(uow, transaction, before, after, origin, settled=settled)


def refunds_unreserved(engine: AsyncEngine, processor: FaultyGateway, ids: SequentialIds) -> FaultyActs:
    """Florin that refunds without a reservation."""
    acts = with_outcomes(_BookedAfterwards)(engine, processor, ids)
    acts.refund_payment = _Unreserved(
        units=acts.units,
        runner=acts.refund_payment._runner,
        clock=acts.clock,
        ids=ids,
        policy=RefundPolicy(),
    )
    return acts
