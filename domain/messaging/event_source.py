"""What the inbox asks of the processor beside the objects that events are about: the port that gateways fill."""

from typing import Protocol


class EventSource(Protocol):
    """The processor as the origin of events. Every method may raise `OutcomeUnknown` or `RequestRejected`."""

    async def account(self) -> str:
        """The processor's id of the account that our key belongs to. It is asked for once, then remembered."""
        ...
