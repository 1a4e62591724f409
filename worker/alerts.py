"""Tells, once for each attempt and reason, that a person should look at it."""

from datetime import timedelta

import structlog

from domain.ids import IdKind, encode
from domain.payments.attempt import Attention
from domain.ports import UnitsOfWork
from domain.sweeps import SweepResult, SweepRun

log = structlog.get_logger(__name__)

ALERTS_MAX = 100
"""How many lines one run writes; what is left is told by the next one, at once."""

_EVENTS = {
    Attention.UNRESOLVED: "alert.unresolved",
    Attention.MANUAL: "alert.manual",
    Attention.PARKED: "alert.parked",
}


class AlertSweep:
    """Writes a line for each attempt that needs attention and has not been told of."""

    name = "alerts"
    interval = timedelta(seconds=15)

    def __init__(self, units: UnitsOfWork) -> None:
        self._units = units

    async def __call__(self, run: SweepRun) -> SweepResult:  # noqa: ARG002  every look is at everything
        # They count as told once the statement has committed: a process that dies right then leaves its lines out, and
        # the metrics and the API, which go by the rows themselves, still show the attempts.
        async with self._units.autocommit() as uow:
            alerts = await uow.attempts.take_alerts(ALERTS_MAX)
        for alert in alerts:
            log.error(
                _EVENTS[alert.attention],
                alert=True,
                transaction_id=encode(IdKind.TRANSACTION, alert.transaction_id),
                attempt_id=encode(IdKind.ATTEMPT, alert.attempt_id),
                kind=alert.kind.value,
                age_seconds=round(alert.age.total_seconds()),
                reason=alert.reason,
            )
        return SweepResult(found={"alerts": len(alerts)} if alerts else {}, more=len(alerts) == ALERTS_MAX)
