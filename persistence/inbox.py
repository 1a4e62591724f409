"""Reads of the inbox. Each is one statement, and finds nothing for whoever may not see it."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Capability
from domain.ids import TransactionId, WebhookEventId
from domain.messaging.inbox import Excerpt, InboxEntry, InboxFilter
from domain.messaging.webhook_events import EventState
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, Selection, seen_with
from persistence.paging import Keyset
from persistence.rows import Row
from persistence.statements import Values
from persistence.tables import webhook_events

_LATEST_FIRST = Keyset(webhook_events.c.received_at, webhook_events.c.public_id, descending=True)
# A page's items are told apart by the id that the API gives out.
_COLUMNS = [
    webhook_events.c.public_id.label("id"),
    webhook_events.c.id.label("event_id"),
    *(column for column in webhook_events.c if column.name not in {"id", "public_id"}),
]
_c = webhook_events.c
_EVENTS = Selection(
    webhook_events,
    _COLUMNS,
    _c.public_id,
    {
        "reference": _c.reference == bindparam("reference"),
        "received_from": _c.received_at >= bindparam("received_from"),
        "received_to": _c.received_at < bindparam("received_to"),
    },
    {"states": _c.state, "types": _c.type},
)


class SqlInboxReader(BatchedReader):
    """The reads behind `domain.messaging.inbox.InboxReader`."""

    def __init__(self, engine: AsyncEngine, excerpt: Excerpt) -> None:
        super().__init__(engine)
        self._excerpt = excerpt

    async def events_by_ids(self, ids: Sequence[WebhookEventId], actor: Actor) -> dict[WebhookEventId, InboxEntry]:
        return await self._by_ids(ids, _EVENTS, seen_with(Capability.WEBHOOKS_READ, actor), self._entry_of)

    async def events(self, actor: Actor, where: InboxFilter, page: PageRequest) -> Page[InboxEntry]:
        values, piecewise = _values_of(actor, where), _piecewise(where)
        return await self._page(_EVENTS, values, _LATEST_FIRST, page, self._entry_of, piecewise=piecewise)

    async def count(self, actor: Actor, where: InboxFilter) -> int:
        return await self._count(_EVENTS, _values_of(actor, where))

    def _entry_of(self, row: Row) -> InboxEntry:
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


def _piecewise(where: InboxFilter) -> str | None:
    if where.reference is not None:
        return None
    if where.states is not None:
        return "states"
    return None if where.types is None else "types"


def _values_of(actor: Actor, where: InboxFilter) -> Values:
    values: dict[str, object] = dict(seen_with(Capability.WEBHOOKS_READ, actor))
    if where.states is not None:
        values["states"] = sorted(where.states)
    if where.types is not None:
        values["types"] = sorted(where.types)
    if where.reference is not None:
        values["reference"] = where.reference
    if where.received_from is not None:
        values["received_from"] = where.received_from
    if where.received_to is not None:
        values["received_to"] = where.received_to
    return values
