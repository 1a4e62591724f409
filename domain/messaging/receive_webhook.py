"""Take a webhook in: verify it, keep it, say thanks. Applying it is the worker's business."""

from collections.abc import Sequence

from domain.messaging.webhook_events import WebhookEvent, WebhookVerifier, WorkerBell
from domain.ports import Clock, UnitsOfWork


class ReceiveWebhook:
    """The act behind the processor's webhook route."""

    def __init__(self, *, units: UnitsOfWork, verifier: WebhookVerifier, clock: Clock, bell: WorkerBell) -> None:
        self._units = units
        self._verifier = verifier
        self._clock = clock
        self._bell = bell

    async def __call__(self, body: bytes, signatures: Sequence[str]) -> tuple[WebhookEvent, bool]:
        """Store the event in `body`; True where it is new, False for one that was delivered before.

        Raises InvalidSignature, and has stored nothing then. Once this returns, the event is on disk.
        """
        now = self._clock.now()
        event = self._verifier.verify(body, signatures, now=now)
        async with self._units.autocommit() as uow:
            stored = await uow.webhook_events.store(event, now)
        if stored:
            self._bell.ring()
        return event, stored
