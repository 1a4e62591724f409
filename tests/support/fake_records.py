"""The lists of the processor in memory: the port ProcessorRecords over what FakeGateway holds."""

from collections.abc import AsyncIterator
from datetime import datetime

from domain.money import Money
from domain.payments.gateway import ChargeReport, RefundReport
from domain.reconciliation.records import BalanceEntry, Dated, Window
from tests.support.fake_gateway import FakeGateway


class FakeRecords:
    """Newest first, whole seconds, as a processor lists them."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    async def charges(self, window: Window) -> AsyncIterator[Dated[ChargeReport]]:
        for reference, report in reversed(list(self._gateway.charges.items())):
            made_at = self._made_at(reference)
            if window.start <= made_at < window.end:
                yield Dated(report, made_at)

    async def refunds(self, window: Window) -> AsyncIterator[Dated[RefundReport]]:
        for reference, report in reversed(list(self._gateway.refunds.items())):
            made_at = self._made_at(reference)
            if window.start <= made_at < window.end:
                yield Dated(report, made_at)

    async def balance_entries(self, window: Window) -> AsyncIterator[BalanceEntry]:
        for number, booked in reversed(list(enumerate(self._gateway.booked, 1))):
            source = self._gateway.charges.get(booked.source) or self._gateway.refunds[booked.source]
            at = booked.at.replace(microsecond=0)
            if window.start <= at < window.end:
                yield BalanceEntry(
                    reference=f"entry_fake_{number}",
                    kind=booked.kind,
                    money=Money(booked.minor_units, source.money.currency),
                    fee=booked.fee,
                    net=booked.minor_units - booked.fee,
                    created_at=at,
                    source=source,
                )

    def _made_at(self, reference: str) -> datetime:
        return self._gateway.made_at[reference].replace(microsecond=0)
