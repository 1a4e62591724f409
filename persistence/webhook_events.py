"""Webhook events in PostgreSQL."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Interval,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from domain.ids import TransactionId, WebhookEventId
from domain.leases import LEASE, SPREAD
from domain.messaging.webhook_events import PUT_ASIDE, EventState, EventSubject, WebhookEvent
from persistence.connection import Connection
from persistence.rows import Row
from persistence.statements import Statement, compiled
from persistence.tables import webhook_events

_OTHERS_MAX = 500


def _storing() -> ReturningInsert[Any]:  # Any: of any columns
    given = ("id", "type", "subject", "reference", "account", "live", "body", "created_at", "received_at")
    return (
        insert(webhook_events)
        .values(
            {
                **{name: bindparam(f"new_{name}", type_=webhook_events.c[name].type) for name in given},
                "state": literal(EventState.RECEIVED.value),
                "tries": literal(0),
                "failures": literal(0),
                "next_try_at": func.clock_timestamp(),
            }
        )
        .on_conflict_do_nothing()
        .returning(webhook_events.c.id)
    )


def _claiming() -> ReturningUpdate[Any]:  # Any: as above
    c = webhook_events.c
    # As in `attempts`: the statement's time, and CTEs that run once.
    now = func.statement_timestamp()
    is_due = and_(c.state == EventState.RECEIVED.value, c.next_try_at <= now)
    due = (
        select(c.id, c.subject, c.reference, c.live, c.account)
        .where(is_due)
        .order_by(c.next_try_at)
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    same_object = and_(
        due.c.reference == c.reference,
        due.c.subject == c.subject,
        due.c.live == c.live,
        due.c.account.is_not_distinct_from(c.account),
    )
    # Neither part waits for a lock: two workers that claim events of the same objects cannot wait for each other.
    others = (
        select(c.id)
        .where(is_due, exists().where(same_object))
        .limit(_OTHERS_MAX)
        .with_for_update(skip_locked=True)
        .cte("others")
    )
    return (
        update(webhook_events)
        .where(or_(c.id.in_(select(due.c.id)), c.id.in_(select(others.c.id))))
        # Whoever dies with the claim cannot say so: each counts as a failure until it has ended in another way.
        .values(
            tries=c.tries + 1,
            failures=c.failures + 1,
            next_try_at=now + LEASE + SPREAD * (func.random() * c.failures),
        )
        .returning(*c)
    )


def _changing(*, given: Sequence[str] = (), **values: object) -> Statement:
    """Change those of some events that wait. `given` are columns that each run has a value for."""
    c = webhook_events.c
    # Locked in one order, because another process may have taken over some of them, and be at this point too.
    waiting = (
        select(c.id)
        .where(c.id == func.any(bindparam("ids", type_=ARRAY(Text))), c.state == EventState.RECEIVED.value)
        .order_by(c.id)
        .with_for_update()
        .cte("waiting")
    )
    return compiled(update(webhook_events).where(c.id.in_(select(waiting.c.id))).values(values), given)


_PAUSE_END = func.clock_timestamp() + bindparam("pause", type_=Interval)

# Made once: to make it anew for each webhook would be most of what taking one in costs.
_STORE = compiled(_storing())
_CLAIM_DUE = compiled(_claiming())
_RENEW = _changing(next_try_at=func.clock_timestamp() + LEASE)
_SETTLE = _changing(given=("state", "reason", "transaction_id", "settled_at"))
_DEFER = _changing(given=("reason",), next_try_at=_PAUSE_END, failures=0)
_DEFER_FAILED = _changing(given=("reason",), next_try_at=_PAUSE_END)


class SqlWebhookEvents:
    """The repository behind `domain.ports.WebhookEventRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def store(self, event: WebhookEvent, received_at: datetime) -> bool:
        values = {
            "new_id": event.id,
            "new_type": event.type,
            "new_subject": event.subject.value,
            "new_reference": event.reference,
            "new_account": event.account,
            "new_live": event.live,
            "new_body": event.body,
            "new_created_at": event.created_at,
            "new_received_at": received_at,
        }
        return await self._connection.execute(_STORE, values) == 1

    async def claim_due(self, limit: int) -> list[WebhookEvent]:
        found = await self._connection.fetch(_CLAIM_DUE, {"limit": limit})
        # RETURNING knows no order.
        return sorted(map(_event_of, found), key=lambda event: (event.created_at, event.id))

    async def known(self, event_ids: Collection[str]) -> Collection[str]:
        c = webhook_events.c
        found = await self._connection.fetch(select(c.id).where(c.id == func.any(_array(event_ids))))
        return {row["id"] for row in found}

    async def prune(self, received_before: datetime, limit: int) -> int:
        c = webhook_events.c
        settled = (
            select(c.id)
            .where(
                c.state.in_([EventState.APPLIED.value, EventState.IGNORED.value]),
                c.received_at < received_before,
                c.settled_at < received_before,
            )
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("settled")
        )
        return await self._connection.execute(delete(webhook_events).where(c.id.in_(select(settled.c.id))))

    async def find(self, event_id: WebhookEventId) -> WebhookEvent | None:
        statement = select(*webhook_events.c).where(webhook_events.c.public_id == event_id)
        row = await self._connection.fetch_one(statement)
        return None if row is None else _event_of(row)

    async def reopen(self, event_id: WebhookEventId) -> WebhookEvent | None:
        c = webhook_events.c
        statement = (
            update(webhook_events)
            .where(c.public_id == event_id, c.state.in_(sorted(PUT_ASIDE)))
            .values(
                state=EventState.RECEIVED.value,
                reason=None,
                settled_at=None,
                tries=c.tries + 1,
                failures=1,
                next_try_at=func.statement_timestamp() + LEASE,
            )
            .returning(*c)
        )
        row = await self._connection.fetch_one(statement)
        return None if row is None else _event_of(row)

    async def renew(self, events: Sequence[WebhookEvent]) -> None:
        await self._change(_RENEW, events)

    async def settle(
        self,
        events: Sequence[WebhookEvent],
        state: EventState,
        reason: str | None,
        *,
        transaction_id: TransactionId | None,
        at: datetime,
    ) -> None:
        await self._change(
            _SETTLE, events, state=state.value, reason=reason, transaction_id=transaction_id, settled_at=at
        )

    async def defer(self, events: Sequence[WebhookEvent], pause: timedelta, reason: str, *, failed: bool) -> None:
        await self._change(_DEFER_FAILED if failed else _DEFER, events, pause=pause, reason=reason)

    async def _change(self, change: Statement, events: Sequence[WebhookEvent], **values: object) -> None:
        await self._connection.execute(change, {"ids": [event.id for event in events]} | values)


def _array(event_ids: Iterable[str]) -> ColumnElement[Any]:  # Any: SQLAlchemy leaves arrays untyped
    return bindparam(None, list(event_ids), type_=ARRAY(Text))


def _event_of(row: Row) -> WebhookEvent:
    return WebhookEvent(
        id=row["id"],
        type=row["type"],
        subject=EventSubject(row["subject"]),
        reference=row["reference"],
        account=row["account"],
        live=row["live"],
        created_at=row["created_at"],
        body=row["body"],
        tries=row["tries"],
        failures=row["failures"],
        state=EventState(row["state"]),
        transaction_id=None if row["transaction_id"] is None else TransactionId(row["transaction_id"]),
    )
