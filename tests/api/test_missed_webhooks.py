"""A payment whose webhook never comes, over a real sandbox: the sweep of the processor's list finds what it would have told.

Attempts are not looked after here, so that nothing but an event can decide the payment.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.time_and_ids import SystemClock, TimeOrderedIds
from app.wiring import Parts, assemble, webhook_sweeps
from domain import ids
from domain.access import Actor, Role
from domain.currencies import Currency
from domain.identity.users import User
from domain.money import Money
from domain.payments.create_payment import CreatePayment, NewPayment
from domain.payments.transaction import CaptureMethod, Transaction, TransactionStatus
from gateways.stripe.gateway import StripeGateway
from gateways.stripe.records import StripeRecords
from sandbox import webhook_endpoints
from sandbox.server import SandboxConfig
from tests.api.application import settings_for
from tests.sandbox.driver import KEY, Driver, listening
from tests.support.database import rows
from worker.sweeps import Sweeper

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Deaf:
    """Florin without its webhook route: what it hears of the sandbox, it has to fetch."""

    parts: Parts
    sandbox: Driver
    sweeper: Sweeper
    payer: Actor

    async def pay(self, key: str) -> Transaction:
        """A payment that its payer has confirmed on the bank's page."""
        create = CreatePayment(
            units=self.parts.units,
            gateway=self.parts.gateway,
            runner=self.parts.runner,
            clock=self.parts.clock,
            ids=self.parts.ids,
            default_return_url="https://shop.example/paid",
        )
        answer = await create(
            self.payer,
            NewPayment(
                idempotency_key=key,
                money=Money(1000, Currency.USD),
                payment_method_id="pm_card_authenticationRequired",
                description=None,
                metadata=None,
                capture_method=CaptureMethod.AUTOMATIC,
                return_url=None,
            ),
        )
        waiting = answer.transaction
        assert waiting is not None
        assert waiting.status is TransactionStatus.REQUIRES_ACTION
        intent = await self.sandbox.get(f"/v1/payment_intents/{waiting.processor_reference}")
        assert (await self.sandbox.authenticate(intent, "complete")).status_code == 303
        return waiting

    async def sweep(self) -> int:
        """What a worker does with its sweeps and events until nothing is left; how many runs that took."""
        runs = 0
        await rows(self.parts.engine, "UPDATE sweeps SET next_run_at = clock_timestamp() RETURNING 1")
        while claimed := await self.sweeper.claim(1):
            runs += 1
            await self.sweeper.run(claimed[0])
        while groups := await self.parts.webhooks.claim(8):
            for events in groups:
                await self.parts.webhooks.apply(events)
        return runs

    async def status(self, transaction: Transaction) -> TransactionStatus:
        async with self.parts.units.autocommit() as uow:
            found = await uow.transactions.get(transaction.id)
        assert found is not None
        return found.status


@asynccontextmanager
async def deaf_to(sandbox: Driver, engine: AsyncEngine) -> AsyncIterator[Deaf]:
    base = str(sandbox.client.base_url).rstrip("/")
    settings = settings_for(
        engine.url.render_as_string(hide_password=False), stripe_api_base=base, stripe_secret_key=KEY
    )
    gateway, records = StripeGateway(settings.stripe()), StripeRecords(settings.stripe())
    parts = assemble(settings, engine, gateway, SystemClock(), TimeOrderedIds())
    payer = User(
        id=ids.UserId(parts.ids.new()),
        email="ada@example.com",
        name="Ada",
        role=Role.CUSTOMER,
        created_at=parts.clock.now(),
    )
    async with parts.units.begin() as uow:
        await uow.users.add(payer)
    try:
        sweeper = Sweeper(parts.units, webhook_sweeps(parts, records))
        yield Deaf(parts, sandbox, sweeper, Actor(payer.id, payer.role))
    finally:
        await records.close()
        await gateway.close()


@pytest.fixture
async def deaf(engine: AsyncEngine) -> AsyncIterator[Deaf]:
    async with listening(SandboxConfig(api_keys=(KEY,))) as sandbox, deaf_to(sandbox, engine) as florin:
        yield florin


def _register_an_endpoint_that_refuses(sandbox: Driver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks/stripe"
    with sandbox.machine.begin() as op:
        webhook_endpoints.add(op, {"url": closed, "enabled_events": ["*"]}, "whsec_of_nobody")


@pytest.mark.parametrize("endpoint", ["missing", "refusing"])
async def test_a_payment_is_completed_although_no_webhook_arrives(deaf: Deaf, endpoint: str) -> None:
    if endpoint == "refusing":
        _register_an_endpoint_that_refuses(deaf.sandbox)
    waiting = await deaf.pay("key-1")
    assert await deaf.status(waiting) is TransactionStatus.REQUIRES_ACTION
    await deaf.sweep()
    assert await deaf.status(waiting) is TransactionStatus.COMPLETED
    via = await rows(
        deaf.parts.engine, "SELECT details->>'via' FROM audit_entries WHERE action = 'transaction.completed'"
    )
    assert via == [("webhook",)]
    # What was found once is not found again.
    kept = await rows(deaf.parts.engine, "SELECT id, state, tries FROM webhook_events ORDER BY id")
    await deaf.sweep()
    assert await rows(deaf.parts.engine, "SELECT id, state, tries FROM webhook_events ORDER BY id") == kept


async def test_a_day_without_a_worker_is_caught_up_with(deaf: Deaf) -> None:
    await deaf.sweep()
    waiting = await deaf.pay("key-1")
    await deaf.sandbox.pass_time(DAY.total_seconds())
    # The database's clock cannot be moved: the last sweep is made a day older instead.
    await rows(deaf.parts.engine, "UPDATE sweeps SET mark = mark - CAST(:day AS interval) RETURNING 1", day=DAY)
    today = await deaf.pay("key-2")
    assert await deaf.sweep() > 24
    assert await deaf.status(waiting) is TransactionStatus.COMPLETED
    assert await deaf.status(today) is TransactionStatus.COMPLETED


async def test_the_sandboxes_account_is_found_out_once(deaf: Deaf) -> None:
    told = await deaf.sandbox.get("/v1/account")
    assert await deaf.parts.gateway.account() == told["id"]
    deaf.sandbox.machine.close()
    assert await deaf.parts.gateway.account() == told["id"]
