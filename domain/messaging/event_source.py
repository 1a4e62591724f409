"""What the inbox asks of the processor beside the objects that events are about: the ports that gateways fill."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Protocol

from domain.messaging.webhook_events import WebhookEvent


class OwnAccount(Protocol):
    """Who we are to the processor. May raise `OutcomeUnknown` or `RequestRejected`."""

    async def account(self) -> str:
        """The processor's id of the account that our key belongs to. It is asked for once, then remembered."""
        ...


class EventSource(Protocol):
    """The processor's own list of events, whether or not it could deliver them."""

    def events(
        self, since: datetime, until: datetime | None, *, undelivered: bool
    ) -> AsyncGenerator[WebhookEvent, None]:
        """The events of the types that we handle, of `since` and later but before `until`, the newest first.

        With `undelivered` only those that some endpoint has not acknowledged. The list is read as it is asked for, a page at
        a time. May raise `OutcomeUnknown` or `RequestRejected` at any event.
        """
        ...
