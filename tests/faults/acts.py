"""The acts as every process of a run has them: over units of work that can be killed, and a processor that fails."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.currencies import Currency
from domain.messaging.sweep_events import SweepEvents
from domain.messaging.webhook_events import WebhookEvent
from domain.payments.answer import Answer
from domain.payments.orphans import OrphanSweep
from domain.payments.resolve_attempt import ResolveAttempt
from persistence.unit_of_work import SqlUnitsOfWork
from tests.faults.process import ProcessUnits
from tests.faults.processor import FaultyGateway
from tests.support.acts import Acts
from tests.support.clock import SequentialIds
from tests.support.fake_records import FakeRecords
from tests.support.units import GatewayOutsideUnits, WatchedUnits

Act: TypeAlias = Callable[["FaultyActs"], Awaitable[Answer]]

_HOUR = timedelta(hours=1)
_APPROVAL_ABOVE = {Currency.USD: 500}
"""Refunds above five dollars wait where somebody of the support asks for them; the payer's own never do."""


class Silent:
    """Rings for nobody: a run says when its worker looks."""

    def ring(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Listed:
    """The processor's list of events as the port EventSource."""

    processor: FaultyGateway

    async def events(
        self, since: datetime, until: datetime | None, *, undelivered: bool
    ) -> AsyncGenerator[WebhookEvent, None]:
        for event in await self.processor.events_listed():
            yield event


@dataclass(slots=True, kw_only=True)
class FaultyActs(Acts):
    """The acts as every process has them, over units of work that can be killed and a processor that fails."""

    processor: FaultyGateway
    resolve_attempt: ResolveAttempt = field(init=False)
    sweep_events: SweepEvents = field(init=False)
    sweep_orphans: OrphanSweep = field(init=False)

    def __post_init__(self) -> None:
        # Named, because a dataclass with slots is another class than the one in which `super` stands.
        Acts.__post_init__(self)
        self.resolve_attempt = ResolveAttempt(
            units=self.units,
            gateway=self.gateway,
            runner=self.runner,
            outcomes=self.outcomes,
            clock=self.clock,
            ids=self.ids,
        )
        self.sweep_events = SweepEvents(
            units=self.units, source=_Listed(self.processor), clock=self.clock, bell=Silent(), interval=_HOUR
        )
        self.sweep_orphans = OrphanSweep(
            units=self.units, gateway=self.gateway, records=FakeRecords(self.gateway), outcomes=self.outcomes
        )

    def _open_units(self) -> WatchedUnits:
        return ProcessUnits(SqlUnitsOfWork(self.engine))

    def _open_gateway(self) -> GatewayOutsideUnits:
        return self.processor


Assembly: TypeAlias = Callable[[AsyncEngine, FaultyGateway, SequentialIds], FaultyActs]


def as_it_is(engine: AsyncEngine, processor: FaultyGateway, ids: SequentialIds) -> FaultyActs:
    """Florin as it is; broken variants put something else together (tests/faults/broken)."""
    return FaultyActs(
        engine=engine, processor=processor, ids=ids, clock=processor.clock, approval_above=_APPROVAL_ABOVE
    )
