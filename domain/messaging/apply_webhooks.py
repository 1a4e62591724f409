"""Apply stored webhook events: each is a hint to fetch its object again, and what that says now is applied.

So neither the order in which events arrive nor how often one does can matter, and several events about one object that
wait at the same time cost one look.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.audit import Origin
from domain.errors import Unavailable
from domain.leases import kept
from domain.messaging.event_source import OwnAccount
from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from domain.payments.attempt import pause_before_recheck
from domain.payments.books import Contradiction, Premature, StrayObject, UnknownObject
from domain.payments.gateway import OutcomeUnknown, RequestRejected, Unreadable
from domain.payments.refresh import Findings, Refresh
from domain.payments.transaction import Transaction
from domain.ports import Clock, StaleVersion, UnitOfWork, UnitsOfWork

FAILURES_MAX = 5
"""After so many errors of ours in a row an event is parked: the next try would fail too, until somebody repairs the cause."""

UNREADABLE_TRIES_MAX = 10
"""From this try on, 43 minutes or more after the first, an event whose object cannot be read waits for a person."""


@dataclass(frozen=True, slots=True)
class Applied:
    """How the application of events ended. RECEIVED: they are tried again later. `error` is a mistake of ours."""

    state: EventState
    reason: str | None = None
    error: Exception | None = None


class _Misaddressed(Exception):
    """The event is of another mode or account than this service."""


class _Illegible(Exception):
    """What the event is about could not be read so often that it is no bad moment of the processor's."""


class ApplyWebhooks:
    """The worker's act on webhook events."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        refresh: Refresh,
        own: OwnAccount,
        clock: Clock,
        live: bool,
    ) -> None:
        self._units = units
        self._refresh_of = {
            EventSubject.CHARGE: refresh.charge,
            EventSubject.REFUND: refresh.refund,
            EventSubject.DISPUTE: refresh.dispute,
        }
        self._own = own
        self._clock = clock
        self._live = live

    async def claim(self, limit: int) -> list[list[WebhookEvent]]:
        """Claim for this process the events of at most `limit` objects: a list for each object."""
        claimed: dict[tuple[object, ...], list[WebhookEvent]] = {}
        async with self._units.autocommit() as uow:
            while wanted := limit - len(claimed):
                events = await uow.webhook_events.claim_due(wanted)
                for event in events:
                    claimed.setdefault(_object_of(event), []).append(event)
                if len(events) < wanted:
                    break
        return list(claimed.values())

    async def apply(self, events: Sequence[WebhookEvent]) -> Applied:
        """Apply claimed events about one object, and record how that ended. The claim is renewed for as long as this takes.

        Raises Unavailable where not even that can be recorded; the claim runs out then, and they are taken up again.
        """
        async with kept(lambda: self._renew(events)):
            return await self._apply_or_park(events)

    async def _renew(self, events: Sequence[WebhookEvent]) -> None:
        async with self._units.autocommit() as uow:
            await uow.webhook_events.renew(events)

    async def _apply_or_park(self, events: Sequence[WebhookEvent]) -> Applied:
        findings = Findings()
        failures = max(event.failures for event in events)
        if failures > FAILURES_MAX:
            # Whoever applied it died each time before it could say a word.
            reason = f"Its application broke off {FAILURES_MAX} times in a row: the worker died, or was killed."
            return await self._settle(events, EventState.PARKED, reason, findings)
        try:
            return await self._conclude(events, findings)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  # Whatever the mistake is, it must not be repeated for ever.
            # The class alone: the text of an error may quote what a card's owner entered. The log has the rest.
            reason = f"{type(error).__name__} while it was applied, {failures} times in a row."
            if failures < FAILURES_MAX:
                ended = await self._defer(events, reason, tries=failures, failed=True)
            else:
                ended = await self._settle(events, EventState.PARKED, reason, findings)
            return replace(ended, error=error)

    async def _conclude(self, events: Sequence[WebhookEvent], findings: Findings) -> Applied:
        """Apply the events, or say why they are not to be applied, or not yet."""
        try:
            try:
                return await self._apply(events, findings)
            except Contradiction:
                # A change of our own may have overtaken what was fetched; what still contradicts when fetched again does so.
                return await self._apply(events, findings)
        except (OutcomeUnknown, Premature, StaleVersion, Unavailable) as error:
            return await self._defer(events, repr(error), tries=_tries(events), failed=False)
        except (_Misaddressed, _Illegible, Contradiction, RequestRejected, StrayObject) as error:
            return await self._settle(events, EventState.QUARANTINED, str(error), findings)
        except UnknownObject as error:
            return await self._settle(events, EventState.IGNORED, str(error), findings)

    async def _apply(self, events: Sequence[WebhookEvent], findings: Findings) -> Applied:
        event = events[0]
        await self._check_address(event)
        refresh = self._refresh_of.get(event.subject)
        if refresh is None or event.reference is None:
            raise UnknownObject("The event is about nothing that Florin keeps.")

        async def record(uow: UnitOfWork, transaction: Transaction) -> None:
            await uow.webhook_events.settle(
                events, EventState.APPLIED, None, transaction_id=transaction.id, at=self._clock.now()
            )

        try:
            await refresh(event.reference, Origin.WEBHOOK, record=record, findings=findings)
        except Unreadable as error:
            if _tries(events) < UNREADABLE_TRIES_MAX:
                raise
            raise _Illegible(f"What it is about cannot be read. {error}.") from error
        return Applied(EventState.APPLIED)

    async def _check_address(self, event: WebhookEvent) -> None:
        if event.live is not self._live:
            theirs, ours = ("live", "test") if event.live else ("test", "live")
            raise _Misaddressed(f"The event is of {theirs} mode, this service of {ours} mode.")
        # Only events of other accounts, which a platform hears of, say whose they are; so mostly nobody need be asked.
        if event.account is not None and event.account != (own := await self._own.account()):
            raise _Misaddressed(f"The event is of the account {event.account}, our key of {own}.")

    async def _settle(
        self, events: Sequence[WebhookEvent], state: EventState, reason: str, findings: Findings
    ) -> Applied:
        async with self._units.autocommit() as uow:
            await uow.webhook_events.settle(
                events, state, reason, transaction_id=findings.transaction_id, at=self._clock.now()
            )
        return Applied(state, reason)

    async def _defer(self, events: Sequence[WebhookEvent], reason: str, *, tries: int, failed: bool) -> Applied:
        async with self._units.autocommit() as uow:
            await uow.webhook_events.defer(events, pause_before_recheck(tries), reason, failed=failed)
        return Applied(EventState.RECEIVED, reason)


def _tries(events: Sequence[WebhookEvent]) -> int:
    return max(event.tries for event in events)


def _object_of(event: WebhookEvent) -> tuple[object, ...]:
    """What events have in common that one look settles together: the object, and whose it is said to be."""
    return event.subject, event.reference or event.id, event.live, event.account
