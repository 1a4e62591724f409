"""Apply stored webhook events: each is a hint to fetch its object again, and what that says now is applied.

So neither the order in which events arrive nor how often one does can matter, and several events about one object that
wait at the same time cost one look.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.audit import Origin
from domain.errors import Unavailable
from domain.ids import TransactionId
from domain.leases import kept
from domain.messaging.event_source import OwnAccount
from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from domain.payments.attempt import pause_before_recheck
from domain.payments.books import Contradiction, Premature, StrayObject, UnknownObject
from domain.payments.gateway import ChargeReport, OutcomeUnknown, PaymentGateway, RequestRejected
from domain.payments.outcomes import Outcomes
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import CAPTURED, UNDECIDED, Transaction
from domain.ports import Clock, StaleVersion, UnitOfWork, UnitsOfWork

FAILURES_MAX = 5
"""After so many errors of ours in a row an event is parked: the next try would fail too, until somebody repairs the cause."""


@dataclass(frozen=True, slots=True)
class Applied:
    """How the application of events ended. RECEIVED: they are tried again later. `error` is a mistake of ours."""

    state: EventState
    reason: str | None = None
    error: Exception | None = None


class _Misaddressed(Exception):
    """The event is of another mode or account than this service."""


@dataclass(slots=True)
class _Findings:
    """What was learned on the way, for the events' rows; it holds however the application ends."""

    transaction_id: TransactionId | None = None


class ApplyWebhooks:
    """The worker's act on webhook events."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        gateway: PaymentGateway,
        own: OwnAccount,
        runner: AttemptRunner,
        outcomes: Outcomes,
        clock: Clock,
        live: bool,
    ) -> None:
        self._units = units
        self._gateway = gateway
        self._own = own
        self._runner = runner
        self._outcomes = outcomes
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
        findings = _Findings()
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

    async def _conclude(self, events: Sequence[WebhookEvent], findings: _Findings) -> Applied:
        """Apply the events, or say why they are not to be applied, or not yet."""
        try:
            try:
                return await self._apply(events, findings)
            except Contradiction:
                # A change of our own may have overtaken what was fetched; what still contradicts when fetched again does so.
                return await self._apply(events, findings)
        except (OutcomeUnknown, Premature, StaleVersion, Unavailable) as error:
            return await self._defer(events, repr(error), tries=max(event.tries for event in events), failed=False)
        except (_Misaddressed, Contradiction, RequestRejected, StrayObject) as error:
            return await self._settle(events, EventState.QUARANTINED, str(error), findings)
        except UnknownObject as error:
            return await self._settle(events, EventState.IGNORED, str(error), findings)

    async def _apply(self, events: Sequence[WebhookEvent], findings: _Findings) -> Applied:
        event = events[0]
        await self._check_address(event)
        if event.subject is EventSubject.OTHER or event.reference is None:
            raise UnknownObject("The event is about nothing that Florin keeps.")
        if event.subject is EventSubject.REFUND:
            refund = await self._gateway.look_up_refund(event.reference)
            await self._catch_up(refund.charge_reference, findings)
            async with self._units.begin() as uow:
                _, transaction = await self._outcomes.apply_refund(uow, refund, Origin.WEBHOOK)
                await self._record_applied(uow, events, transaction)
        elif event.subject is EventSubject.DISPUTE:
            dispute = await self._gateway.look_up_dispute(event.reference)
            await self._catch_up(dispute.charge_reference, findings)
            async with self._units.begin() as uow:
                _, transaction = await self._outcomes.apply_dispute(uow, dispute, Origin.WEBHOOK)
                await self._record_applied(uow, events, transaction)
        else:
            charge = await self._look_up_charge(event.reference, findings)
            async with self._units.begin() as uow:
                transaction = await self._outcomes.apply_charge(uow, charge, Origin.WEBHOOK)
                await self._record_applied(uow, events, transaction)
        return Applied(EventState.APPLIED)

    async def _check_address(self, event: WebhookEvent) -> None:
        if event.live is not self._live:
            theirs, ours = ("live", "test") if event.live else ("test", "live")
            raise _Misaddressed(f"The event is of {theirs} mode, this service of {ours} mode.")
        # Only events of other accounts, which a platform hears of, say whose they are; so mostly nobody need be asked.
        if event.account is not None and event.account != (own := await self._own.account()):
            raise _Misaddressed(f"The event is of the account {event.account}, our key of {own}.")

    async def _catch_up(self, charge_reference: str, findings: _Findings) -> None:
        """A charge that was refunded or disputed was captured. Where we have not heard of that yet, hear it first."""
        known = await self._known(charge_reference, findings)
        if known is not None and known.status in CAPTURED:
            return
        try:
            charge = await self._look_up_charge(charge_reference, findings)
        except RequestRejected:
            if known is None:
                # A charge of another kind than ours: the object is somebody else's, as applying it will find.
                return
            raise
        async with self._units.begin() as uow:
            await self._outcomes.apply_charge(uow, charge, Origin.WEBHOOK)

    async def _look_up_charge(self, reference: str, findings: _Findings) -> ChargeReport:
        # Only a charge whose id we have recorded can have been confirmed, so that an unknown one needs no fence.
        known = await self._known(reference, findings)
        report = await self._runner.look_up_charge(reference, undecided=known is not None and known.status in UNDECIDED)
        if known is None and report.transaction_id is not None:
            async with self._units.autocommit() as uow:
                named = await uow.transactions.get(report.transaction_id)
            findings.transaction_id = None if named is None else named.id
        return report

    async def _known(self, charge_reference: str, findings: _Findings) -> Transaction | None:
        async with self._units.autocommit() as uow:
            known = await uow.transactions.get_by_reference(charge_reference)
        findings.transaction_id = None if known is None else known.id
        return known

    async def _record_applied(self, uow: UnitOfWork, events: Sequence[WebhookEvent], transaction: Transaction) -> None:
        await uow.webhook_events.settle(
            events, EventState.APPLIED, None, transaction_id=transaction.id, at=self._clock.now()
        )

    async def _settle(
        self, events: Sequence[WebhookEvent], state: EventState, reason: str, findings: _Findings
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


def _object_of(event: WebhookEvent) -> tuple[object, ...]:
    """What events have in common that one look settles together: the object, and whose it is said to be."""
    return event.subject, event.reference or event.id, event.live, event.account
