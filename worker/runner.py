"""The worker: takes up what is due, webhook events, attempts and sweeps, until it is told to stop.

Any number of workers may run side by side: rows are claimed with SKIP LOCKED and a lease by the database's clock.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from domain.messaging.apply_webhooks import ApplyWebhooks
from domain.messaging.mails import Mail, MailState
from domain.messaging.send_mails import SendMails
from domain.messaging.webhook_events import EventState, WebhookEvent
from domain.payments.attempt import Attempt, AttemptState
from domain.payments.recovery import Recovery
from worker.lanes import Lane
from worker.sweeps import Sweeper

log = structlog.get_logger(__name__)


class Wakeups(Protocol):
    """Tells the worker that something new may be due."""

    async def wait(self) -> None:
        """Return at the next wake-up, or at once if one came since the last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """How much of each kind one worker does at a time, and how often it looks when nobody wakes it."""

    concurrency: int = 8
    poll_seconds: float = 1.0
    sweep_poll_seconds: float = 5.0
    # More than one, because a long one, such as a reconciliation, must not hold up those that heal within minutes.
    sweeps_at_once: int = 4
    mails_at_once: int = 4


class Worker:
    """Does all kinds of work side by side until `stop` is called; what has been begun is finished first."""

    def __init__(
        self,
        *,
        webhooks: ApplyWebhooks,
        recovery: Recovery,
        sweeper: Sweeper,
        mails: SendMails | None = None,
        wakeups: Wakeups,
        config: WorkerConfig,
    ) -> None:
        self._webhooks = webhooks
        self._recovery = recovery
        self._wakeups = wakeups
        self._config = config
        self._events = Lane("webhooks", places=config.concurrency, claim=webhooks.claim, work=self._apply)
        self._attempts = Lane("attempts", places=config.concurrency, claim=recovery.claim, work=self._resume)
        self._sweeps = Lane("sweeps", places=config.sweeps_at_once, claim=sweeper.claim, work=sweeper.run)
        self._sender = mails
        # Where no mail is sent from here, those that wait are left to a worker that does.
        self._mails = (
            None if mails is None else Lane("mails", places=config.mails_at_once, claim=mails.claim, work=self._send)
        )

    def stop(self) -> None:
        """Finish what has been begun, then return from `run`."""
        for lane in (self._events, self._attempts, self._sweeps, self._mails):
            if lane is not None:
                lane.stop()

    async def run(self) -> None:
        """Work until stopped. A database that is away is waited for, not given up on."""
        config = self._config
        log.info("worker.started", concurrency=config.concurrency)
        listening = asyncio.create_task(self._listen())
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._events.run(config.poll_seconds))
            lanes.create_task(self._attempts.run(config.poll_seconds))
            lanes.create_task(self._sweeps.run(config.sweep_poll_seconds))
            if self._mails is not None:
                lanes.create_task(self._mails.run(config.poll_seconds))
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        log.info("worker.stopped")

    async def work_once(self) -> bool:
        """Claim and do the events, attempts and mails due now; True where a full lane suggests that there is more."""
        lanes = [self._events.once(), self._attempts.once()]
        return any(await asyncio.gather(*lanes, *([] if self._mails is None else [self._mails.once()])))

    async def _listen(self) -> None:
        while True:
            await self._wakeups.wait()
            self._events.ring()
            self._attempts.ring()
            if self._mails is not None:
                self._mails.ring()

    # One object or attempt that fails unexpectedly must not keep the others from being done; it is taken up again.
    async def _apply(self, events: Sequence[WebhookEvent]) -> None:
        about = {"event_ids": [event.id for event in events], "type": events[0].type, "tries": events[0].tries}
        try:
            applied = await self._webhooks.apply(events)
        except Exception:
            log.exception("webhook.failed", **about)
            return
        if applied.error is not None:
            log.error("webhook.failed", **about, exc_info=applied.error)
        # Parked and quarantined events wait for a person: both lines are there to raise an alert.
        match applied.state:
            case EventState.PARKED:
                log.error("webhook.parked", **about, reason=applied.reason)
            case EventState.QUARANTINED:
                log.warning("webhook.quarantined", **about, reason=applied.reason)
            case state:
                log.info("webhook.applied", **about, state=state.value)

    async def _resume(self, attempt: Attempt) -> None:
        try:
            await self._recovery.resume(attempt)
        except Exception:
            log.exception("attempt.failed", attempt_id=str(attempt.id), kind=attempt.kind.value, tries=attempt.tries)
        else:
            if attempt.state is AttemptState.PARKED:
                log.error("attempt.parked", attempt_id=str(attempt.id), kind=attempt.kind.value, tries=attempt.tries)
            else:
                log.info("attempt.resumed", attempt_id=str(attempt.id), kind=attempt.kind.value, tries=attempt.tries)

    async def _send(self, mail: Mail) -> None:
        if self._sender is None:
            return
        about = {"mail_id": str(mail.id), "kind": mail.kind.value, "tries": mail.tries}
        try:
            sending = await self._sender.send(mail)
        except Exception:
            # It is claimed anew once the claim has run out.
            log.exception("mail.failed", **about)
            return
        match sending.state:
            case MailState.FAILED:
                log.error("mail.given_up", **about, reason=sending.reason)
            case MailState.WAITING:
                log.warning("mail.deferred", **about, reason=sending.reason)
            case settled:
                log.info("mail.settled", **about, state=settled.value)
