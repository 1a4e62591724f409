"""The inbox as administrators see it: every webhook event that is kept, and how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.access import Actor
from domain.ids import TransactionId, WebhookEventId
from domain.messaging.webhook_events import EventState
from domain.payments.queries import Page, PageRequest
from domain.text import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """An event as it is shown. `event_id` is the processor's, `payload` what of its message may be seen."""

    id: WebhookEventId
    event_id: str
    type: str
    reference: str | None
    account: str | None
    live: bool
    state: EventState
    reason: str | None
    tries: int
    transaction_id: TransactionId | None
    payload: Mapping[str, JsonValue]
    created_at: datetime
    received_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxFilter:
    """Which events a list holds."""

    states: frozenset[EventState] | None = None
    types: frozenset[str] | None = None
    reference: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None


ANY_EVENT = InboxFilter()


class Excerpt(Protocol):
    """What of a processor's message may be shown."""

    def __call__(self, body: bytes) -> Mapping[str, JsonValue]: ...


class InboxReader(Protocol):
    """Reads of the inbox, for whoever may see it: to anybody else it is empty."""

    async def events_by_ids(self, ids: Sequence[WebhookEventId], actor: Actor) -> dict[WebhookEventId, InboxEntry]: ...

    async def events(self, actor: Actor, where: InboxFilter, page: PageRequest) -> Page[InboxEntry]:
        """A piece of the list, the latest received first."""
        ...

    async def count(self, actor: Actor, where: InboxFilter) -> int: ...
