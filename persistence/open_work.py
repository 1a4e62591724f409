"""How much work is open, by the partial indexes that hold little else."""

from typing import Any

from sqlalchemy import ColumnElement, Label, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.messaging.webhook_events import EventState
from domain.payments.open_work import OpenWork
from persistence.attention import OPEN, OPEN_NEEDING_ATTENTION
from persistence.engine import autocommitting
from persistence.tables import attempts, discrepancies, refunds, webhook_events

_WAITING: ColumnElement[bool] = literal_column("webhook_events.state = 'RECEIVED'")
_NOT_DONE_WITH = (EventState.RECEIVED, EventState.QUARANTINED, EventState.PARKED)


def _count(table: Any, condition: ColumnElement[bool]) -> Any:  # Any: SQLAlchemy's own types for both
    return select(func.count()).select_from(table).where(condition).scalar_subquery()


def _age(moment: Any, condition: ColumnElement[bool]) -> Any:  # Any: as above
    oldest = select(func.extract("epoch", func.clock_timestamp() - func.min(moment))).where(condition)
    return func.coalesce(oldest.scalar_subquery(), 0)


_COLUMNS: tuple[Label[Any], ...] = (
    _count(attempts, OPEN).label("open"),
    select(func.count()).select_from(OPEN_NEEDING_ATTENTION).scalar_subquery().label("unresolved"),
    _count(attempts, literal_column("attempts.state IN ('MANUAL', 'PARKED') AND attempts.state = 'MANUAL'")).label(
        "manual"
    ),
    _count(attempts, literal_column("attempts.state IN ('MANUAL', 'PARKED') AND attempts.state = 'PARKED'")).label(
        "parked"
    ),
    _age(attempts.c.first_sent_at, OPEN).label("oldest_attempt"),
    *(_count(webhook_events, webhook_events.c.state == state.value).label(state.value) for state in _NOT_DONE_WITH),
    _age(webhook_events.c.received_at, _WAITING).label("oldest_event"),
    _count(discrepancies, discrepancies.c.resolved_at.is_(None)).label("discrepancies"),
    _count(refunds, literal_column("refunds.status = 'PENDING_APPROVAL'")).label("approvals"),
)


class SqlOpenWorkReader:
    """The count behind `domain.payments.open_work.OpenWorkReader`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open_work(self) -> OpenWork:
        async with autocommitting(self._engine) as connection:
            row = (await connection.execute(select(*_COLUMNS))).mappings().one()
        return OpenWork(
            attempts_open=row["open"],
            attempts_unresolved=row["unresolved"],
            attempts_manual=row["manual"],
            attempts_parked=row["parked"],
            oldest_open_attempt_seconds=float(row["oldest_attempt"]),
            webhook_events={state: row[state.value] for state in _NOT_DONE_WITH},
            oldest_waiting_event_seconds=float(row["oldest_event"]),
            discrepancies_open=row["discrepancies"],
            refunds_to_approve=row["approvals"],
        )
