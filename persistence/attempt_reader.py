"""Reads of attempts. Each is one statement on a connection of its own; what they are in is told by the database's clock."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, RowMapping, and_, case, func, literal_column, null, or_, select

from domain.access import Scope
from domain.ids import AttemptId, RefundId, TransactionId
from domain.payments.attempt import AttemptKind
from domain.payments.attempt_queries import GRAVITY, AttemptFilter, AttemptView, RecoveryState
from domain.payments.queries import Page, PageRequest
from persistence.attention import ATTEMPTS_NEEDING_ATTENTION, UNRESOLVED
from persistence.batched_reader import BatchedReader, among, of_visible
from persistence.paging import Keyset
from persistence.tables import attempts

_c = attempts.c
_OLDEST_FIRST = Keyset(_c.first_sent_at, _c.id, descending=False)
# Texts, so that PostgreSQL can tell that they imply the conditions of the partial indexes, which hold only these.
_NOT_DONE: ColumnElement[bool] = or_(
    literal_column("attempts.state = 'OPEN'"), literal_column("attempts.state IN ('MANUAL', 'PARKED')")
)
_STATE = case(
    (_c.state != "OPEN", _c.state),
    (UNRESOLVED, RecoveryState.UNRESOLVED.value),
    (_c.lease_until > func.statement_timestamp(), RecoveryState.IN_PROGRESS.value),
    else_=RecoveryState.WAITING.value,
)
_WAITS = and_(_c.state == "OPEN", or_(_c.lease_until.is_(None), _c.lease_until <= func.statement_timestamp()))
_COLUMNS = (
    _c.id,
    _c.kind,
    _c.transaction_id,
    _c.refund_id,
    _STATE.label("recovery_state"),
    _c.tries,
    _c.reason,
    _c.first_sent_at,
    _c.last_checked_at,
    case((_WAITS, _c.next_check_at), else_=null()).label("next_check_at"),
    _c.unknown_since,
)


class SqlAttemptReader(BatchedReader):
    """The reads behind `domain.payments.attempt_queries.AttemptReader`."""

    async def recoveries_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, AttemptView]:
        statement = select(*_COLUMNS).where(
            among(_c.transaction_id, transaction_ids), _c.state != "DONE", of_visible(_c.transaction_id, scope)
        )
        gravest: dict[TransactionId, AttemptView] = {}
        for view in map(_view_of, await self._rows(statement.order_by(_c.first_sent_at, _c.id))):
            known = gravest.get(view.transaction_id)
            if known is None or GRAVITY[view.state] > GRAVITY[known.state]:
                gravest[view.transaction_id] = view
        return gravest

    async def attempts_by_ids(self, ids: Sequence[AttemptId], scope: Scope) -> dict[AttemptId, AttemptView]:
        if scope.owner is not None:
            return {}
        return await self._by_ids(ids, _c.id, select(*_COLUMNS), _view_of)

    async def attempts(self, where: AttemptFilter, page: PageRequest, scope: Scope) -> Page[AttemptView]:
        if scope.owner is not None:
            return Page((), (), has_previous=False, has_next=False)
        statement = select(*_COLUMNS).where(*_conditions(where))
        return await self._page(statement, _OLDEST_FIRST, page, _view_of)

    async def count_attempts(self, where: AttemptFilter, scope: Scope) -> int:
        if scope.owner is not None:
            return 0
        return await self._count(attempts, *_conditions(where))


def _conditions(where: AttemptFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [_NOT_DONE]
    if where.needs_attention:
        conditions.append(_c.id.in_(ATTEMPTS_NEEDING_ATTENTION))
    if where.states is not None:
        conditions.append(_STATE.in_(sorted(where.states)))
    if where.kinds is not None:
        conditions.append(_c.kind.in_(sorted(where.kinds)))
    if where.transaction_id is not None:
        conditions.append(_c.transaction_id == where.transaction_id)
    return conditions


def _view_of(row: RowMapping) -> AttemptView:
    return AttemptView(
        id=AttemptId(row["id"]),
        kind=AttemptKind(row["kind"]),
        transaction_id=TransactionId(row["transaction_id"]),
        refund_id=None if row["refund_id"] is None else RefundId(row["refund_id"]),
        state=RecoveryState(row["recovery_state"]),
        tries=row["tries"],
        reason=row["reason"],
        created_at=row["first_sent_at"],
        last_checked_at=row["last_checked_at"],
        next_check_at=row["next_check_at"],
        unknown_since=row["unknown_since"],
    )
