"""Florin's acts, put together over the fake processor and real storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Role
from domain.audit import AuditAction
from domain.currencies import Currency
from domain.identity.users import User
from domain.ids import RefundId, TransactionId
from domain.messaging.apply_webhooks import ApplyWebhooks
from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.authorized import AuthorizedPayments, NewCapture, NewVoid
from domain.payments.create_payment import CreatePayment, NewPayment
from domain.payments.decide_refund import DecideRefund, NewDecision
from domain.payments.outcomes import Outcomes
from domain.payments.recovery import Recovery
from domain.payments.refresh import Refresh
from domain.payments.refund_payment import NewRefund, RefundPayment
from domain.payments.refund_policy import RefundPolicy
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import CaptureMethod, Transaction
from domain.reconciliation.discrepancies import OpenDiscrepancies
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import FakeClock, SequentialIds
from tests.support.database import age_attempts, make_due, rows
from tests.support.records import TEN_DOLLARS, actor, user
from tests.support.units import GatewayOutsideUnits, WatchedUnits


class RecordedAlerts:
    """The port Alerts, which keeps what a person would have been told."""

    def __init__(self) -> None:
        self.lost_twice: list[TransactionId] = []
        self.waiting: list[OpenDiscrepancies] = []

    def refunded_and_disputed(self, transaction: Transaction) -> None:
        self.lost_twice.append(transaction.id)

    def discrepancies_open(self, waiting: OpenDiscrepancies) -> None:
        self.waiting.append(waiting)


@dataclass(slots=True, kw_only=True)
class Acts:
    """Every act, and what stands behind it. `customers_may_refund`, `approval_above` and `live` are settings."""

    engine: AsyncEngine
    customers_may_refund: bool = True
    approval_above: Mapping[Currency, int] = field(default_factory=dict)
    live: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    ids: SequentialIds = field(default_factory=SequentialIds)
    alerts: RecordedAlerts = field(default_factory=RecordedAlerts)
    units: WatchedUnits = field(init=False)
    gateway: GatewayOutsideUnits = field(init=False)
    outcomes: Outcomes = field(init=False)
    runner: AttemptRunner = field(init=False)
    refresh: Refresh = field(init=False)
    create_payment: CreatePayment = field(init=False)
    refund_payment: RefundPayment = field(init=False)
    decide_refund: DecideRefund = field(init=False)
    authorized: AuthorizedPayments = field(init=False)
    recovery: Recovery = field(init=False)
    webhooks: ApplyWebhooks = field(init=False)
    _events: int = 0
    _passed: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        units, gateway, clock, ids = self._open_units(), self._open_gateway(), self.clock, self.ids
        outcomes = Outcomes(clock, ids, alerts=self.alerts, live=self.live)
        runner = AttemptRunner(units, gateway, outcomes, clock)
        self.units, self.gateway, self.outcomes, self.runner = units, gateway, outcomes, runner
        self.create_payment = CreatePayment(
            units=units, gateway=gateway, runner=runner, clock=clock, ids=ids, default_return_url=None
        )
        self.refund_payment = RefundPayment(
            units=units,
            runner=runner,
            clock=clock,
            ids=ids,
            policy=RefundPolicy(customers_may_refund=self.customers_may_refund, approval_above=self.approval_above),
        )
        self.decide_refund = DecideRefund(units=units, runner=runner, clock=clock, ids=ids)
        self.authorized = AuthorizedPayments(units=units, runner=runner, clock=clock, ids=ids)
        self.recovery = Recovery(units=units, runner=runner)
        self.refresh = Refresh(units=units, gateway=gateway, runner=runner, outcomes=outcomes)
        self.webhooks = ApplyWebhooks(units=units, refresh=self.refresh, own=gateway, clock=clock, live=self.live)

    def _open_units(self) -> WatchedUnits:
        return WatchedUnits(SqlUnitsOfWork(self.engine))

    def _open_gateway(self) -> GatewayOutsideUnits:
        return GatewayOutsideUnits(live=self.live, now=self.clock.now)

    async def add_user(self, role: Role = Role.CUSTOMER) -> User:
        added = user(self.ids.new(), role=role)
        async with self.units.begin() as uow:
            await uow.users.add(added)
        return added

    async def add_actor(self, role: Role = Role.CUSTOMER) -> Actor:
        return actor(await self.add_user(role))

    async def pay(
        self,
        payer: Actor,
        key: str = "key-1",
        *,
        money: Money = TEN_DOLLARS,
        method: str = "pm_card_visa",
        capture: CaptureMethod = CaptureMethod.AUTOMATIC,
    ) -> Answer:
        return await self.create_payment(payer, new_payment(key, money=money, method=method, capture=capture))

    async def paid(self, payer: Actor, key: str = "key-1", *, money: Money = TEN_DOLLARS) -> Transaction:
        """A completed payment."""
        answer = await self.pay(payer, key, money=money)
        assert answer.refusals == ()
        return transaction_in(answer)

    async def hold(self, payer: Actor, key: str = "key-1") -> Transaction:
        """An authorized payment."""
        answer = await self.pay(payer, key, capture=CaptureMethod.MANUAL)
        assert answer.refusals == ()
        return transaction_in(answer)

    async def refund(
        self,
        who: Actor,
        transaction_id: TransactionId | None,
        minor_units: int | None = None,
        *,
        key: str = "refund-1",
        currency: Currency = Currency.USD,
    ) -> Answer:
        money = None if minor_units is None else Money(minor_units, currency)
        wanted = NewRefund(idempotency_key=key, transaction_id=transaction_id, money=money, reason=None)
        return await self.refund_payment(who, wanted)

    async def approve(self, who: Actor, refund_id: RefundId | None, *, key: str = "approve-1") -> Answer:
        return await self.decide_refund.approve(who, NewDecision(idempotency_key=key, refund_id=refund_id))

    async def reject(self, who: Actor, refund_id: RefundId | None, *, key: str = "reject-1") -> Answer:
        wanted = NewDecision(idempotency_key=key, refund_id=refund_id, reason="The parcel has arrived.")
        return await self.decide_refund.reject(who, wanted)

    async def capture(
        self, who: Actor, transaction_id: TransactionId, minor_units: int | None = None, *, key: str = "capture-1"
    ) -> Answer:
        money = None if minor_units is None else Money(minor_units, Currency.USD)
        return await self.authorized.capture(
            who, NewCapture(idempotency_key=key, transaction_id=transaction_id, money=money)
        )

    async def void(self, who: Actor, transaction_id: TransactionId, *, key: str = "void-1") -> Answer:
        return await self.authorized.void(who, NewVoid(idempotency_key=key, transaction_id=transaction_id))

    async def recover(self) -> int:
        """What a worker does once every lease and pause has passed; the number of attempts taken up."""
        await self._let_time_pass()
        await make_due(self.engine)
        attempts = await self.recovery.claim(100)
        for attempt in attempts:
            await self.recovery.resume(attempt)
        return len(attempts)

    async def tell(self, subject: EventSubject, reference: str | None, *, times: int = 1) -> list[EventState]:
        """Deliver one event so many times, and apply what was stored."""
        return await self.tell_all(subject, [reference], times=times)

    async def tell_all(
        self, subject: EventSubject, references: Sequence[str | None], *, times: int = 1
    ) -> list[EventState]:
        """Deliver one event for each reference so many times, and apply what was stored."""
        for reference in references:
            self._events += 1
            event = self.event(f"evt_{self._events}", subject, reference)
            for _ in range(times):
                async with self.units.begin() as uow:
                    await uow.webhook_events.store(event, self.clock.now())
        return await self.apply_events()

    async def apply_events(self) -> list[EventState]:
        """What a worker does with the events that wait, once their pauses have passed."""
        await make_due(self.engine)
        ended: list[EventState] = []
        for events in await self.webhooks.claim(100):
            applied = await self.webhooks.apply(events)
            ended += [applied.state] * len(events)
        return ended

    async def tell_of(self, event: WebhookEvent) -> list[EventState]:
        """Deliver this very event, and apply what was stored."""
        async with self.units.begin() as uow:
            await uow.webhook_events.store(event, self.clock.now())
        return await self.apply_events()

    def event(self, event_id: str, subject: EventSubject, reference: str | None) -> WebhookEvent:
        return WebhookEvent(
            id=event_id,
            type=f"{subject.value.lower()}.updated",
            subject=subject,
            reference=reference,
            live=self.live,
            created_at=self.clock.now(),
            body=b"{}",
        )

    async def now(self, transaction_id: TransactionId) -> Transaction:
        """The transaction as it is stored."""
        async with self.units.begin() as uow:
            found = await uow.transactions.get(transaction_id)
        assert found is not None
        return found

    async def audit(self, transaction_id: TransactionId) -> list[str]:
        """The actions in a transaction's audit log, oldest first."""
        found = await rows(
            self.engine,
            "SELECT action FROM audit_entries WHERE transaction_id = :id ORDER BY number",
            id=transaction_id,
        )
        return [AuditAction(str(action)).value for (action,) in found]

    async def attempts(self, transaction_id: TransactionId) -> dict[str, str]:
        """The state of a transaction's attempts, by kind; the latest where there are several of a kind."""
        found = await rows(
            self.engine, "SELECT kind, state FROM attempts WHERE transaction_id = :id ORDER BY id", id=transaction_id
        )
        return {str(kind): str(state) for kind, state in found}

    def age(self, by: timedelta) -> None:
        """Let time pass, and the processor forget its idempotency keys where it is long enough for that.

        Attempts go by the database's clock, which cannot be moved: they are made older before anybody looks at them.
        """
        self.clock.advance(by)
        self._passed += by
        if by >= timedelta(hours=24):
            self.gateway.forget_keys()

    async def _let_time_pass(self) -> None:
        by, self._passed = self._passed, timedelta(0)
        if by:
            await age_attempts(self.engine, by)


def new_payment(
    key: str = "key-1",
    *,
    money: Money = TEN_DOLLARS,
    method: str = "pm_card_visa",
    capture: CaptureMethod = CaptureMethod.AUTOMATIC,
) -> NewPayment:
    return NewPayment(
        idempotency_key=key,
        money=money,
        payment_method_id=method,
        description=None,
        metadata=None,
        capture_method=capture,
        return_url=None,
    )


def transaction_in(answer: Answer) -> Transaction:
    assert answer.transaction is not None
    return answer.transaction


def codes(answer: Answer) -> list[str]:
    """The codes of the refusals in an answer."""
    return [refusal.code.value for refusal in answer.refusals]


@pytest.fixture
def acts(engine: AsyncEngine) -> Acts:
    return Acts(engine=engine)
