"""Units of work that are watched, and that break off where a test says."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from enum import Enum
from typing import Any

from domain.errors import Unavailable
from domain.payments.gateway import ChargeReport, RefundOrder, RefundReport, RefundReportStatus
from persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork
from tests.support.fake_gateway import Call, FakeGateway, _Charge, _Script

_open_in_this_task: ContextVar[int] = ContextVar("_open_in_this_task", default=0)


class Break(Enum):
    """Where a unit of work breaks off."""

    BEFORE_COMMIT = "nothing of it is kept"
    AFTER_COMMIT = "all of it is kept, but whoever committed never hears of it"


class WatchedUnits:
    """Real units of work that remember whether the running task has one open, and that can be made to break off."""

    def __init__(self, units: SqlUnitsOfWork) -> None:
        self._units = units
        self._breaks: dict[int, Break] = {}

    def break_off(self, how: Break, *, after: int = 0) -> None:
        """Break off one coming unit of work: the next one, or the one after so many others."""
        self._breaks[after] = how

    def heal(self) -> None:
        """Forget the breaks that have not come yet."""
        self._breaks.clear()

    def autocommit(self) -> AbstractAsyncContextManager[SqlUnitOfWork]:
        """A statement by itself is a unit of work too, and breaks off like any other."""
        return self.begin()

    def begin(self) -> AbstractAsyncContextManager[SqlUnitOfWork]:
        return self._watch(self._units.begin())

    @asynccontextmanager
    async def _watch(self, unit: AbstractAsyncContextManager[SqlUnitOfWork]) -> AsyncIterator[SqlUnitOfWork]:
        how = self._breaks.pop(0, None)
        self._breaks = {after - 1: later for after, later in self._breaks.items()}
        token = _open_in_this_task.set(_open_in_this_task.get() + 1)
        try:
            async with unit as uow:
                yield uow
                if how is Break.BEFORE_COMMIT:
                    raise Unavailable("The connection broke before the commit.")
        finally:
            _open_in_this_task.reset(token)
        if how is Break.AFTER_COMMIT:
            raise Unavailable("The connection broke before the commit was answered.")


class GatewayOutsideUnits(FakeGateway):
    """The fake processor, which refuses to be called by a task that has a unit of work open."""

    _cancellations_refused = 0
    _refunds_held_back = False

    def succeed_after_all(self, reference: str) -> None:
        """The payer confirms a declined charge again, by the client secret, and it succeeds."""
        self._take(self._charges[reference])

    def add_foreign_charge(self, like: str) -> str:
        """A charge that another program has made on the same account; its reference."""
        known = self._charges[like]
        reference = f"ch_foreign_{len(self._charges)}"
        report = replace(known.report, reference=reference, transaction_id=None)
        self._charges[reference] = replace(known, report=report)
        self.made_at[reference] = self._now()
        return reference

    def add_refund(self, report: RefundReport) -> None:
        """A refund that the processor has, whoever made it; one that it has already is told differently from now on."""
        self._refunds[report.reference] = report
        self.made_at.setdefault(report.reference, self._now())

    def forget(self, reference: str) -> None:
        """The processor has never heard of a charge or refund, and has moved no money for it."""
        self._charges.pop(reference, None)
        self._refunds.pop(reference, None)
        self.booked = [booked for booked in self.booked if booked.source != reference]

    def falsify(self, reference: str, **lie: Any) -> None:  # Any: fields of the report, of several types
        """Report something else of a charge than was asked for."""
        charge = self._charges[reference]
        charge.report = replace(charge.report, **lie)

    def hold_refunds_back(self) -> None:
        """New refunds stay PENDING until they are settled."""
        self._refunds_held_back = True

    def forget_faults(self) -> None:
        """Nothing that was said beforehand happens any more."""
        self._scripts.clear()

    def refuse_next_cancellation(self) -> None:
        """The next cancellation finds the charge busy: it is reported as it is."""
        self._cancellations_refused += 1

    async def _arrive(self, call: Call) -> _Script:
        assert _open_in_this_task.get() == 0, f"{call.method} was called inside a unit of work"
        return await super()._arrive(call)

    def _refund(self, order: RefundOrder) -> RefundReport:
        report = super()._refund(order)
        if self._refunds_held_back:
            report = self.settle_refund(report.reference, RefundReportStatus.PENDING)
        return report

    def _cancel(self, charge: _Charge) -> ChargeReport:
        if self._cancellations_refused:
            self._cancellations_refused -= 1
            return charge.report
        return super()._cancel(charge)
