"""Webhooks, requests, recovery and an administrator all at once over a few payments: nothing deadlocks and nothing is lost."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from domain.access import EVERYTHING, Actor, Role
from domain.errors import Unavailable
from domain.ids import WebhookEventId
from domain.messaging.reapply_webhook import NewReapplication, ReapplyWebhook
from domain.messaging.webhook_events import EventSubject, WebhookEvent
from domain.payments.gateway import RefundOrder
from domain.payments.transaction import Transaction, TransactionStatus
from persistence.connection import Connection
from tests.support.acts import Acts
from tests.support.database import rows

PAYMENTS = 4
REQUESTERS = 3
REFUNDS = 4
DASHBOARD_REFUNDS = 4
APPLIERS = 6
CENTS = 10


@contextmanager
def complaints() -> Iterator[list[str]]:
    """The SQLSTATE of everything that PostgreSQL refuses in units of work while the block runs."""
    states: list[str] = []
    sent = Connection._sent

    async def remembered(connection: Connection, *of: Any) -> Any:  # Any: whatever is sent, and what comes of it
        try:
            return await sent(connection, *of)
        except Exception as error:
            states.append(str(getattr(error, "sqlstate", error)))
            raise

    with patch.object(Connection, "_sent", remembered):
        yield states


@dataclass(slots=True)
class Storm:
    """Everybody at work, until `calm`."""

    acts: Acts
    payer: Actor
    admin: Actor
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    told: set[str] = field(default_factory=set)

    async def tell(self, subject: EventSubject, reference: str, name: str) -> None:
        """The processor delivers an event three times at once, as it may."""
        event = self.acts.event(f"evt_{name}", subject, reference)
        self.told.add(event.id)
        stored = await asyncio.gather(*(self._deliver(event) for _ in range(3)))
        assert sum(stored) == 1

    async def _deliver(self, event: WebhookEvent) -> bool:
        async with self.acts.units.autocommit() as uow:
            return await uow.webhook_events.store(event, self.acts.clock.now())

    async def request(self, paid: Transaction, who: int) -> None:
        """A client asks for refunds, and the processor tells of each, of refund and charge at once."""
        for number in range(REFUNDS):
            name = f"{paid.id.hex[-4:]}_{who}_{number}"
            answer = await self.acts.refund(self.payer, paid.id, CENTS, key=name)
            assert answer.refund is not None
            reference = answer.refund.processor_reference or "re_unknown"
            await asyncio.gather(
                self.tell(EventSubject.REFUND, reference, f"{name}_refund"),
                self.tell(EventSubject.CHARGE, paid.processor_reference or "", f"{name}_charge"),
            )

    async def give_back_in_dashboard(self, paid: Transaction) -> None:
        for number in range(DASHBOARD_REFUNDS):
            name = f"{paid.id.hex[-4:]}_dashboard_{number}"
            order = RefundOrder(
                refund_id=None,  # type: ignore[arg-type]  # a refund that is not ours names no id of ours
                transaction_id=paid.id,
                charge_reference=paid.processor_reference or "",
                money=paid.in_own_currency(CENTS),
                reason=None,
            )
            report = await self.acts.gateway.refund_charge(order, key=name)
            await self.tell(EventSubject.REFUND, report.reference, name)

    async def apply(self) -> None:
        while True:
            groups = await self.acts.webhooks.claim(3)
            for events in groups:
                applied = await self.acts.webhooks.apply(events)
                assert applied.error is None, applied
            if not groups and self.calm.is_set():
                return

    async def recover(self) -> None:
        """A worker that thinks of any open attempt that its time has come."""
        while not self.calm.is_set():
            await rows(
                self.acts.engine,
                "UPDATE attempts SET lease_until = NULL, next_check_at = clock_timestamp() - interval '1 s'"
                " WHERE id = (SELECT id FROM attempts WHERE state = 'OPEN' ORDER BY random() LIMIT 1) RETURNING 1",
            )
            for attempt in await self.acts.recovery.claim(2):
                await self.acts.recovery.resume(attempt)

    async def reapply(self, paid: Transaction) -> None:
        """An administrator applies events again that had been parked, while others work on the same payment."""
        reapply = ReapplyWebhook(
            units=self.acts.units, webhooks=self.acts.webhooks, clock=self.acts.clock, ids=self.acts.ids
        )
        parked = "UPDATE webhook_events SET state = 'PARKED' WHERE id = (SELECT id FROM webhook_events WHERE state = 'APPLIED'"
        parked += " AND transaction_id = :id ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING public_id"
        number = 0
        while not self.calm.is_set():
            for (public_id,) in await rows(self.acts.engine, parked, id=paid.id):
                number += 1
                wanted = NewReapplication(
                    idempotency_key=f"again-{paid.id}-{number}",
                    event_id=WebhookEventId(public_id),  # type: ignore[arg-type]  # a column of UUIDs
                    reason="To see whether it waits for anybody.",
                )
                await reapply(self.admin, wanted)


async def test_nothing_deadlocks_and_nothing_is_lost_in_a_storm(acts: Acts) -> None:
    storm = Storm(acts, await acts.add_actor(), await acts.add_actor(Role.ADMIN))
    paid = [await acts.paid(storm.payer, f"pay-{number}") for number in range(PAYMENTS)]
    with complaints() as refused:
        async with asyncio.timeout(600), asyncio.TaskGroup() as workers:
            for _ in range(APPLIERS):
                workers.create_task(storm.apply())
            workers.create_task(storm.recover())
            for each in paid:
                workers.create_task(storm.reapply(each))
            await asyncio.gather(
                *(storm.request(each, who) for each in paid for who in range(REQUESTERS)),
                *(storm.give_back_in_dashboard(each) for each in paid),
            )
            storm.calm.set()
    # Neither 40P01 (a deadlock) nor anything else.
    assert refused == []
    await acts.apply_events()
    await acts.recover()
    ended = {str(name): state for name, state in await rows(acts.engine, "SELECT id, state FROM webhook_events")}
    assert ended == dict.fromkeys(storm.told, "APPLIED")
    for each in paid:
        now = await acts.now(each.id)
        total = CENTS * (REQUESTERS * REFUNDS + DASHBOARD_REFUNDS)
        assert (now.status, now.refunded, now.refund_reserved) == (TransactionStatus.PARTIALLY_REFUNDED, total, total)
        log = await acts.audit(each.id)
        assert log.count("refund.completed") == REQUESTERS * REFUNDS + DASHBOARD_REFUNDS
        assert log.count("transaction.completed") == 1


async def test_a_deadlock_would_be_seen(acts: Acts) -> None:
    payer = await acts.add_actor()
    first, second = [await acts.paid(payer, key) for key in ("key-1", "key-2")]
    both_hold = asyncio.Barrier(2)

    async def lock(mine: Transaction, others: Transaction) -> None:
        async with acts.units.begin() as uow:
            await uow.transactions.lock(mine.id, EVERYTHING)
            await both_hold.wait()
            await uow.transactions.lock(others.id, EVERYTHING)

    with complaints() as refused:
        ends = await asyncio.gather(lock(first, second), lock(second, first), return_exceptions=True)
    assert [type(end) for end in ends if end is not None] == [Unavailable]
    assert refused == ["40P01"]
