"""The processor in memory, with everything that can go wrong on the way to it and back, and the events that it sends."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias, TypeVar

from domain.ids import NIL, RefundId
from domain.messaging.webhook_events import EventSubject, WebhookEvent
from domain.money import Money
from domain.payments.gateway import (
    ChargeOrder,
    ChargeReport,
    ChargeStatus,
    DisputeReport,
    OutcomeUnknown,
    RefundOrder,
    RefundReport,
    RefundReportStatus,
    RequestRejected,
)
from domain.payments.transaction import Failure, NextAction
from tests.faults.process import come_to
from tests.faults.timeline import PointKind, Timeline
from tests.support.clock import FakeClock
from tests.support.fake_gateway import Call, _Charge, _Script
from tests.support.units import GatewayOutsideUnits

_Report = TypeVar("_Report", ChargeReport, RefundReport)

Report: TypeAlias = ChargeReport | RefundReport | DisputeReport

STORM_CALLS = 4


class Fault(StrEnum):
    """What goes wrong with one call. A call without a key changes nothing, and can only fail."""

    DROPPED = "dropped"
    """The request does not arrive."""
    LOST = "lost"
    """It is carried out; the answer does not arrive. The same key brings the answer."""
    ERROR_DONE = "error-done"
    """It is carried out, and answered with a 500, which the processor repeats for as long as it keeps the key."""
    ERROR_UNDONE = "error-undone"
    """It is not carried out, and answered with a 500, which is repeated likewise."""
    STORM = "storm"
    """It and the next calls are answered with 429: nothing is carried out, nothing is kept."""
    IN_FLIGHT = "in-flight"
    """We hear nothing; the request arrives later, after the next call. Until then the key is in use (409)."""
    OUTAGE = "outage"
    """Nothing arrives from now on, for 25 hours: longer than the processor keeps keys."""
    OUTAGE_DONE = "outage-done"
    """The same, but this one call is still carried out."""


FAULTS_WITHOUT_KEY = (Fault.DROPPED, Fault.STORM, Fault.OUTAGE)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the processor has to tell."""

    id: str
    subject: EventSubject
    reference: str
    at: datetime

    def as_received(self) -> WebhookEvent:
        return WebhookEvent(
            id=self.id,
            type=f"{self.subject.value.lower()}.updated",
            subject=self.subject,
            reference=self.reference,
            live=False,
            created_at=self.at,
            body=self.id.encode(),
        )


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A request that nobody has heard of again: the number of its call, counted from 1, and what it does on arrival."""

    sent: int
    act: Callable[[], object]


class FaultyGateway(GatewayOutsideUnits):
    """The processor of one run. `fault` strikes at the call with the number `at`; `told` is called when there are new events."""

    def __init__(self, *, name: str, timeline: Timeline, fault: Fault | None, at: int) -> None:
        self.clock = FakeClock()
        super().__init__(name=name, now=self.clock.now)
        self.events: list[Event] = []
        self.keyed: list[bool] = []
        self.challenged: set[str] = set()
        self.snapshots: dict[str, Report] = {}
        """What was true when each event was made; only a broken variant asks for it."""
        self.takes_any_refund = False
        """Whether it refunds more than was captured: then nothing but our own reservation stands in the way."""
        self.told: Callable[[], Awaitable[None]] | None = None
        self.down = False
        self.first_trouble = 0
        self._timeline = timeline
        self._fault = fault
        self._at = at
        self._storm = 0
        self._errors: set[str] = set()
        self._in_flight: dict[str, _InFlight] = {}
        self._struck: Fault | None = None

    @property
    def disputes_by_reference(self) -> dict[str, DisputeReport]:
        return {dispute.reference: dispute for dispute in self.disputes.all}

    def recover(self) -> None:
        """What was in the air arrives, and nothing goes wrong any more."""
        if self.down or self._storm:
            self._timeline.note("the processor can be reached again")
        self.down, self._storm = False, 0
        self._land(all_of_it=True)

    def forget_keys(self) -> None:
        super().forget_keys()
        self._errors.clear()

    # What goes wrong.

    async def _arrive(self, call: Call) -> _Script:
        number = len(self.calls)
        self._land()
        script = await super()._arrive(call)
        self.keyed.append("key" in call.arguments)
        await come_to(PointKind.CALL, f"{call.method} {_about(call)}")
        fault = self._fault if number == self._at else None
        if fault is not None:
            self._timeline.note(f"fault: {fault} {call.method}")
            self.first_trouble = len(self._timeline.points)
        if fault is Fault.STORM:
            self._storm = STORM_CALLS
        if self._storm:
            self._storm -= 1
            raise OutcomeUnknown("429: too many requests")
        if self.down or fault is Fault.OUTAGE:
            self.down = True
            raise OutcomeUnknown("the processor cannot be reached")
        if fault is Fault.DROPPED:
            raise OutcomeUnknown("the connection broke")
        self._struck = fault
        return script

    async def _leave(self, script: _Script) -> None:
        # Taken before anything is awaited: another call may come in meanwhile.
        fault, self._struck = self._struck, None
        if self.told is not None:
            await self.told()
        if fault is Fault.OUTAGE_DONE:
            self.down = True
        if fault in {Fault.LOST, Fault.OUTAGE_DONE}:
            raise OutcomeUnknown("the answer was lost")
        await super()._leave(script)

    def _once(self, call: Call, act: Callable[[], _Report]) -> str:
        key, fault = str(call.arguments["key"]), self._struck
        if key in self._errors:
            raise OutcomeUnknown("500, kept under the key")
        if key in self._in_flight:
            raise OutcomeUnknown("409: the key is in use")
        if fault is Fault.IN_FLIGHT:
            self._in_flight[key] = _InFlight(len(self.calls), lambda: super(FaultyGateway, self)._once(call, act))
            raise OutcomeUnknown("nothing was heard in time")
        if fault is Fault.ERROR_UNDONE:
            self._errors.add(key)
            raise OutcomeUnknown("500")
        try:
            reference = super()._once(call, act)
        except RequestRejected:
            if fault is None:
                raise
            # What is lost is this answer.
            raise OutcomeUnknown("the refusal was lost") from None
        if fault is Fault.ERROR_DONE:
            self._errors.add(key)
            raise OutcomeUnknown("500")
        return reference

    def _land(self, *, all_of_it: bool = False) -> None:
        """Let arrive what has been in the air for longer than one call."""
        for key, request in list(self._in_flight.items()):
            if all_of_it or len(self.calls) > request.sent:
                self._timeline.note("what was in flight arrives")
                del self._in_flight[key]
                with suppress(RequestRejected):
                    request.act()

    def refund_elsewhere(self, charge_reference: str, minor_units: int) -> None:
        """A refund that is not ours names no id of ours."""
        charge = self._charges[charge_reference]
        report = self._refund(
            RefundOrder(
                refund_id=RefundId(NIL),
                transaction_id=charge.order.transaction_id,
                charge_reference=charge_reference,
                money=Money(minor_units, charge.order.money.currency),
                reason=None,
            )
        )
        self._refunds[report.reference] = replace(report, refund_id=None)

    async def charge_at_once(self, order: ChargeOrder, *, return_url: str | None, key: str) -> ChargeReport:
        """Create and confirm by one call, as only a broken variant does."""
        call = Call("charge_at_once", {"order": order, "return_url": return_url, "key": key})
        return await self._charge_call(
            call, lambda: self._confirm(self._charges[self._create(order).reference], return_url)
        )

    async def events_listed(self) -> list[WebhookEvent]:
        """The processor's own list, the newest first. A sweep asks for it; how it is cut into times is not tried here."""
        script = await self._arrive(Call("list_events", {}))
        listed = [event.as_received() for event in reversed(self.events)]
        await self._leave(script)
        return listed

    # What the processor tells of.

    def _check_refund(self, charge: ChargeReport, order: RefundOrder) -> None:
        if not self.takes_any_refund:
            super()._check_refund(charge, order)

    def dispute(self, reference: str, minor_units: int | None = None) -> DisputeReport:
        report = super().dispute(reference, minor_units)
        self._tell(EventSubject.DISPUTE, report.reference)
        return report

    def decide(self, reference: str, *, won: bool) -> None:
        """The bank decides a dispute."""
        self.disputes.close(reference, won=won)
        self._tell(EventSubject.DISPUTE, reference)

    def settle_refund(self, reference: str, status: RefundReportStatus, failure: Failure | None = None) -> RefundReport:
        report = super().settle_refund(reference, status, failure)
        self._tell(EventSubject.REFUND, reference)
        return report

    def _become(
        self,
        charge: _Charge,
        status: ChargeStatus,
        *,
        failure: Failure | None = None,
        next_action: NextAction | None = None,
    ) -> ChargeReport:
        report = super()._become(charge, status, failure=failure, next_action=next_action)
        if status is ChargeStatus.REQUIRES_ACTION:
            self.challenged.add(report.reference)
        self._tell(EventSubject.CHARGE, report.reference)
        return report

    def _refund(self, order: RefundOrder) -> RefundReport:
        report = super()._refund(order)
        self._tell(EventSubject.REFUND, report.reference)
        return report

    def _tell(self, subject: EventSubject, reference: str) -> None:
        event = Event(f"evt_{self._name}_{len(self.events) + 1}", subject, reference, self.clock.now())
        self.events.append(event)
        reports: dict[str, Report] = {**self.charges, **self.refunds, **self.disputes_by_reference}
        self.snapshots[event.id] = reports[reference]


def _about(call: Call) -> str:
    key = call.arguments.get("key")
    return "" if key is None else f"[{str(key).rpartition(':')[2] if str(key).count(':') == 1 else 'fence'}]"
