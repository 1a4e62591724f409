"""The lists of the processor in memory: the port ProcessorRecords over what FakeGateway holds."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime

from domain.money import Money
from domain.payments.gateway import ChargeReport, DisputeReport, RefundReport
from domain.reconciliation.records import BalanceEntry, BalanceEntryKind, Dated, Window
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

    async def disputes(self, window: Window) -> AsyncIterator[Dated[DisputeReport]]:
        for report in reversed(self._gateway.disputes.all):
            made_at = self._gateway.disputes.made_at[report.reference].replace(microsecond=0)
            if window.start <= made_at < window.end:
                yield Dated(report, made_at)

    async def balance_entries(self, window: Window) -> AsyncIterator[BalanceEntry]:
        entries = [*self._booked(), *self._of_disputes()]
        for entry in sorted(entries, key=lambda entry: entry.created_at, reverse=True):
            if window.start <= entry.created_at < window.end:
                yield entry

    def _booked(self) -> Iterator[BalanceEntry]:
        for number, booked in enumerate(self._gateway.booked, 1):
            source = self._gateway.charges.get(booked.source) or self._gateway.refunds[booked.source]
            yield BalanceEntry(
                reference=f"entry_fake_{number}",
                kind=booked.kind,
                money=Money(booked.minor_units, source.money.currency),
                fee=booked.fee,
                net=booked.minor_units - booked.fee,
                created_at=booked.at.replace(microsecond=0),
                source=source,
            )

    def _of_disputes(self) -> Iterator[BalanceEntry]:
        for report in self._gateway.disputes.all:
            for movement in report.movements:
                yield BalanceEntry(
                    reference=movement.reference,
                    kind=BalanceEntryKind.DISPUTE,
                    money=movement.amount,
                    fee=movement.fee.minor_units,
                    net=movement.amount.minor_units - movement.fee.minor_units,
                    created_at=self._gateway.disputes.made_at[movement.reference].replace(microsecond=0),
                    source=report,
                )

    def _made_at(self, reference: str) -> datetime:
        return self._gateway.made_at[reference].replace(microsecond=0)
