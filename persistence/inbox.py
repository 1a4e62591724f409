"""Reads of the inbox. Each is one statement, and finds nothing for anybody but administrators."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, bindparam, false, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Role
from domain.ids import TransactionId, WebhookEventId
from domain.messaging.inbox import Excerpt, InboxEntry, InboxFilter
from domain.messaging.webhook_events import EventState
from domain.payments.queries import Page, PageRequest
from persistence.engine import autocommitting
from persistence.paging import Keyset, page_of
from persistence.tables import webhook_events

_LATEST_FIRST = Keyset(webhook_events.c.received_at, webhook_events.c.public_id, descending=True)
# A page's items are told apart by the id that the API gives out.
_COLUMNS = [
    webhook_events.c.public_id.label("id"),
    webhook_events.c.id.label("event_id"),
    *(column for column in webhook_events.c if column.name not in {"id", "public_id"}),
]


class SqlInboxReader:
    """The reads behind `domain.messaging.inbox.InboxReader`."""

    def __init__(self, engine: AsyncEngine, excerpt: Excerpt) -> None:
        self._engine = engine
        self._excerpt = excerpt

    async def events_by_ids(self, ids: Sequence[WebhookEventId], actor: Actor) -> dict[WebhookEventId, InboxEntry]:
        among = webhook_events.c.public_id == func.any(bindparam(None, list(ids), type_=ARRAY(UUID)))
        rows = await self._rows(select(*_COLUMNS).where(among, _open_to(actor)))
        return {entry.id: entry for entry in map(self._entry_of, rows)}

    async def events(self, actor: Actor, where: InboxFilter, page: PageRequest) -> Page[InboxEntry]:
        statement = select(*_COLUMNS).where(_open_to(actor), *_conditions(where))
        rows = await self._rows(_LATEST_FIRST.cut(statement, page))
        return page_of(rows, page, record=self._entry_of, ordered_by="received_at")

    async def count(self, actor: Actor, where: InboxFilter) -> int:
        statement = select(func.count().label("number")).where(_open_to(actor), *_conditions(where))
        rows = await self._rows(statement.select_from(webhook_events))
        return int(rows[0]["number"])

    async def _rows(self, statement: Select[*tuple[Any, ...]]) -> Sequence[RowMapping]:  # Any: of any columns
        async with autocommitting(self._engine) as connection:
            return (await connection.execute(statement)).mappings().all()

    def _entry_of(self, row: RowMapping) -> InboxEntry:
        return InboxEntry(
            id=WebhookEventId(row["id"]),
            event_id=row["event_id"],
            type=row["type"],
            reference=row["reference"],
            account=row["account"],
            live=row["live"],
            state=EventState(row["state"]),
            reason=row["reason"],
            tries=row["tries"],
            transaction_id=None if row["transaction_id"] is None else TransactionId(row["transaction_id"]),
            payload=self._excerpt(row["body"]),
            created_at=row["created_at"],
            received_at=row["received_at"],
            settled_at=row["settled_at"],
        )


def _open_to(actor: Actor) -> ColumnElement[bool]:
    """The condition that keeps everybody else's queries empty."""
    return true() if actor.role is Role.ADMIN else false()


def _conditions(where: InboxFilter) -> list[ColumnElement[bool]]:
    c = webhook_events.c
    conditions: list[ColumnElement[bool]] = []
    if where.states is not None:
        conditions.append(c.state.in_(sorted(where.states)))
    if where.types is not None:
        conditions.append(c.type.in_(sorted(where.types)))
    if where.reference is not None:
        conditions.append(c.reference == where.reference)
    if where.received_from is not None:
        conditions.append(c.received_at >= where.received_from)
    if where.received_to is not None:
        conditions.append(c.received_at < where.received_to)
    return conditions
