"""The worker: takes up what is due, webhook events and attempts, a bounded number at a time, until it is told to stop.

Any number of workers may run side by side: rows are claimed with SKIP LOCKED and a lease by the database's clock.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from domain.errors import Unavailable
from domain.messaging.apply_webhooks import ApplyWebhooks
from domain.messaging.webhook_events import WebhookEvent
from domain.payments.attempt import Attempt
from domain.payments.recovery import Recovery

log = structlog.get_logger(__name__)


class Wakeups(Protocol):
    """Tells the worker that something new may be due."""

    async def wait(self) -> None:
        """Return at the next wake-up, or at once if one came since the last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """How much one worker does at a time, and how often it looks when nobody wakes it."""

    concurrency: int = 8
    poll_seconds: float = 1.0


class Worker:
    """Does both kinds of work until `stop` is called; what has been begun is finished first."""

    def __init__(self, *, webhooks: ApplyWebhooks, recovery: Recovery, wakeups: Wakeups, config: WorkerConfig) -> None:
        self._webhooks = webhooks
        self._recovery = recovery
        self._wakeups = wakeups
        self._config = config
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish what has been begun, then return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped. A database that is away is waited for, not given up on."""
        log.info("worker.started", concurrency=self._config.concurrency)
        while not self._stopping.is_set():
            if not await self.work_once():
                await self._idle()
        log.info("worker.stopped")

    async def work_once(self) -> bool:
        """Claim and do what is due now; True where a full batch suggests that there is more."""
        try:
            events = await self._webhooks.claim(self._config.concurrency)
            attempts = await self._recovery.claim(self._config.concurrency)
        except Unavailable as error:
            log.warning("worker.database_unavailable", error=error.message)
            return False
        await asyncio.gather(*map(self._apply, events), *map(self._resume, attempts))
        return self._config.concurrency in {len(events), len(attempts)}

    # One event or attempt that fails unexpectedly must not keep the others from being done; its claim runs out, and it is
    # taken up again.
    async def _apply(self, event: WebhookEvent) -> None:
        try:
            state = await self._webhooks.apply(event)
        except Exception:
            log.exception("webhook.failed", event_id=event.id, type=event.type, tries=event.tries)
        else:
            log.info("webhook.applied", event_id=event.id, type=event.type, state=state.value, tries=event.tries)

    async def _resume(self, attempt: Attempt) -> None:
        try:
            await self._recovery.resume(attempt)
        except Exception:
            log.exception("attempt.failed", attempt_id=str(attempt.id), kind=attempt.kind.value, tries=attempt.tries)
        else:
            log.info("attempt.resumed", attempt_id=str(attempt.id), kind=attempt.kind.value, tries=attempt.tries)

    async def _idle(self) -> None:
        """Wait for a wake-up, for the next look, or for the end."""
        waits = [asyncio.ensure_future(self._wakeups.wait()), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, timeout=self._config.poll_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
                with suppress(asyncio.CancelledError):
                    await wait
