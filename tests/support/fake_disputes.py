"""The disputes of the fake processor: opened by the payer's bank, decided by a test."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from domain.money import Money
from domain.payments.dispute import DisputeStatus
from domain.payments.gateway import BalanceMovement, ChargeReport, DisputeReport

DISPUTE_FEE_MINOR_UNITS = 1500

_PROCESSOR_STATUSES = {
    DisputeStatus.INQUIRY: "warning_needs_response",
    DisputeStatus.INQUIRY_CLOSED: "warning_closed",
    DisputeStatus.NEEDS_RESPONSE: "needs_response",
    DisputeStatus.UNDER_REVIEW: "under_review",
    DisputeStatus.WON: "won",
    DisputeStatus.LOST: "lost",
}


class FakeDisputes:
    """What is disputed, and every movement of money that came of it. `made_at` has the times of both."""

    def __init__(self, now: Callable[[], datetime], *, name: str = "fake") -> None:
        self.made_at: dict[str, datetime] = {}
        self._now = now
        self._name = name
        self._reports: dict[str, DisputeReport] = {}
        self._movements = 0

    @property
    def all(self) -> list[DisputeReport]:
        return list(self._reports.values())

    def forget(self) -> None:
        """The processor has never heard of any."""
        self._reports.clear()

    def get(self, reference: str) -> DisputeReport | None:
        return self._reports.get(reference)

    def bar_refunds_of(self, charge_reference: str) -> bool:
        """Whether a charge has been taken back, now or once: only an inquiry lets it be refunded."""
        asking = {DisputeStatus.INQUIRY, DisputeStatus.INQUIRY_CLOSED}
        return any(report.charge_reference == charge_reference and report.status not in asking for report in self.all)

    def open(self, charge: ChargeReport, minor_units: int, *, inquiry: bool) -> DisputeReport:
        """The bank takes money back, or only asks."""
        report = DisputeReport(
            reference=f"dp_{self._name}_{len(self._reports) + 1}",
            charge_reference=charge.reference,
            status=DisputeStatus.INQUIRY,
            processor_status=_PROCESSOR_STATUSES[DisputeStatus.INQUIRY],
            money=Money(minor_units, charge.money.currency),
            reason="fraudulent",
            live=charge.live,
            evidence_due_at=None,
            movements=(),
        )
        self._reports[report.reference] = report
        self.made_at[report.reference] = self._now()
        return report if inquiry else self.escalate(report.reference)

    def escalate(self, reference: str) -> DisputeReport:
        """An inquiry becomes a dispute, whose money is taken."""
        report = self._reports[reference]
        self._move(reference, -report.money.minor_units, DISPUTE_FEE_MINOR_UNITS)
        return self.become(reference, DisputeStatus.NEEDS_RESPONSE)

    def close(self, reference: str, *, won: bool) -> DisputeReport:
        """The bank decides; what was won comes back without its fee."""
        report = self._reports[reference]
        if report.status is DisputeStatus.INQUIRY:
            return self.become(reference, DisputeStatus.INQUIRY_CLOSED)
        taken = -sum(movement.amount.minor_units for movement in report.movements)
        if won and taken:
            self._move(reference, taken, 0)
        elif not won and not taken:
            self._move(reference, -report.money.minor_units, 0)
        return self.become(reference, DisputeStatus.WON if won else DisputeStatus.LOST)

    def become(self, reference: str, status: DisputeStatus) -> DisputeReport:
        """The same dispute in another state, no money moved."""
        report = replace(self._reports[reference], status=status, processor_status=_PROCESSOR_STATUSES[status])
        self._reports[reference] = report
        return report

    def _move(self, reference: str, minor_units: int, fee: int) -> None:
        report = self._reports[reference]
        currency = report.money.currency
        self._movements += 1
        movement = BalanceMovement(
            reference=f"txn_{self._name}_{self._movements}",
            amount=Money(minor_units, currency),
            fee=Money(fee, currency),
        )
        self._reports[reference] = replace(report, movements=(*report.movements, movement))
        self.made_at[movement.reference] = self._now()
