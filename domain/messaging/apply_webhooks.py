"""Apply stored webhook events: each is a hint to fetch its object again, and what that says now is applied.

So neither the order in which events arrive nor how often one does can matter.
"""

from domain.audit import Origin
from domain.messaging.webhook_events import EventState, EventSubject, WebhookEvent
from domain.payments.attempt import pause_before_recheck
from domain.payments.gateway import ChargeReport, OutcomeUnknown, PaymentGateway, RequestRejected
from domain.payments.outcomes import Contradiction, Outcomes, Premature, UnknownObject
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import CAPTURED, UNDECIDED
from domain.ports import Clock, StaleVersion, UnitsOfWork


class ApplyWebhooks:
    """The worker's act on webhook events."""

    def __init__(
        self, *, units: UnitsOfWork, gateway: PaymentGateway, runner: AttemptRunner, outcomes: Outcomes, clock: Clock
    ) -> None:
        self._units = units
        self._gateway = gateway
        self._runner = runner
        self._outcomes = outcomes
        self._clock = clock

    async def claim(self, limit: int) -> list[WebhookEvent]:
        """Claim at most `limit` events for this process."""
        async with self._units.autocommit() as uow:
            return await uow.webhook_events.claim_due(limit)

    async def apply(self, event: WebhookEvent) -> EventState:
        """Apply one claimed event and record how it ended; RECEIVED where it has to be tried again later."""
        try:
            try:
                return await self._apply(event)
            except Contradiction:
                # A change of our own may have overtaken what was fetched; what still contradicts when fetched again does so.
                return await self._apply(event)
        except (OutcomeUnknown, Premature, StaleVersion) as error:
            async with self._units.autocommit() as uow:
                await uow.webhook_events.defer(event, pause_before_recheck(event.tries), repr(error))
            return EventState.RECEIVED
        except (Contradiction, RequestRejected) as error:
            return await self._settle(event, EventState.QUARANTINED, str(error))
        except UnknownObject as error:
            return await self._settle(event, EventState.IGNORED, str(error))

    async def _apply(self, event: WebhookEvent) -> EventState:
        if event.subject is EventSubject.OTHER or event.reference is None:
            return await self._settle(event, EventState.IGNORED, "The event is about nothing that Florin keeps.")
        if event.subject is EventSubject.REFUND:
            refund = await self._gateway.look_up_refund(event.reference)
            await self._catch_up(refund.charge_reference)
            async with self._units.begin() as uow:
                await self._outcomes.apply_refund(uow, refund, Origin.WEBHOOK)
                await uow.webhook_events.settle(event, EventState.APPLIED, None, self._clock.now())
            return EventState.APPLIED
        charge = await self._look_up_charge(event.reference)
        async with self._units.begin() as uow:
            await self._outcomes.apply_charge(uow, charge, Origin.WEBHOOK)
            await uow.webhook_events.settle(event, EventState.APPLIED, None, self._clock.now())
        return EventState.APPLIED

    async def _catch_up(self, charge_reference: str) -> None:
        """A refunded charge was captured. Where we have not heard of that yet, hear it first: events come in any order."""
        async with self._units.begin() as uow:
            transaction = await uow.transactions.get_by_reference(charge_reference)
        if transaction is not None and transaction.status not in CAPTURED:
            charge = await self._look_up_charge(charge_reference)
            async with self._units.begin() as uow:
                await self._outcomes.apply_charge(uow, charge, Origin.WEBHOOK)

    async def _look_up_charge(self, reference: str) -> ChargeReport:
        # Only a charge whose id we have recorded can have been confirmed, so that an unknown one needs no fence.
        async with self._units.autocommit() as uow:
            known = await uow.transactions.get_by_reference(reference)
        return await self._runner.look_up_charge(reference, undecided=known is not None and known.status in UNDECIDED)

    async def _settle(self, event: WebhookEvent, state: EventState, reason: str) -> EventState:
        async with self._units.autocommit() as uow:
            await uow.webhook_events.settle(event, state, reason, self._clock.now())
        return state
