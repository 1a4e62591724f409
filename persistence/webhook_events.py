"""Webhook events in PostgreSQL."""

from datetime import datetime, timedelta

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from persistence.tables import webhook_events

WAKE_CHANNEL = "florin_worker"
LEASE = timedelta(seconds=30)


class SqlWebhookEvents:
    """The repository behind `domain.ports.WebhookEventRepository`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def store(self, event: WebhookEvent, received_at: datetime) -> bool:
        stored = (
            insert(webhook_events)
            .values(
                id=event.id,
                type=event.type,
                subject=event.subject.value,
                reference=event.reference,
                live=event.live,
                body=event.body,
                state=EventState.RECEIVED.value,
                tries=0,
                created_at=event.created_at,
                received_at=received_at,
                next_try_at=func.clock_timestamp(),
            )
            .on_conflict_do_nothing()
            .returning(webhook_events.c.id)
            .cte("stored")
        )
        # One statement stores and wakes, and PostgreSQL sends the wake-up only once it has committed.
        wake = select(func.pg_notify(WAKE_CHANNEL, "")).select_from(stored)
        return (await self._connection.execute(wake)).first() is not None

    async def claim_due(self, limit: int) -> list[WebhookEvent]:
        # As in `attempts`: the statement's time, and a CTE that runs once.
        now = func.statement_timestamp()
        due = (
            select(webhook_events.c.id)
            .where(webhook_events.c.state == EventState.RECEIVED.value, webhook_events.c.next_try_at <= now)
            .order_by(webhook_events.c.next_try_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        statement = (
            update(webhook_events)
            .where(webhook_events.c.id.in_(select(due.c.id)))
            .values(tries=webhook_events.c.tries + 1, next_try_at=now + LEASE)
            .returning(*webhook_events.c)
        )
        return [_event_of(row) for row in (await self._connection.execute(statement)).mappings()]

    async def settle(self, event: WebhookEvent, state: EventState, reason: str | None, at: datetime) -> None:
        await self._change(event, state=state.value, reason=reason, settled_at=at)

    async def defer(self, event: WebhookEvent, pause: timedelta, reason: str) -> None:
        await self._change(event, reason=reason, next_try_at=func.clock_timestamp() + pause)

    async def _change(self, event: WebhookEvent, **values: object) -> None:
        waiting = webhook_events.c.state == EventState.RECEIVED.value
        await self._connection.execute(
            update(webhook_events).where(webhook_events.c.id == event.id, waiting).values(**values)
        )


def _event_of(row: RowMapping) -> WebhookEvent:
    return WebhookEvent(
        id=row["id"],
        type=row["type"],
        subject=EventSubject(row["subject"]),
        reference=row["reference"],
        live=row["live"],
        created_at=row["created_at"],
        body=row["body"],
        tries=row["tries"],
    )
