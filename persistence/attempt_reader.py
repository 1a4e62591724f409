"""Reads of attempts. Each is one statement on a connection of its own; what they are in is told by the database's clock."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import ColumnElement, String, and_, any_, bindparam, case, func, literal_column, null, or_
from sqlalchemy.dialects.postgresql import ARRAY

from domain.access import Scope
from domain.ids import AttemptId, RefundId, TransactionId
from domain.payments.attempt import AttemptKind
from domain.payments.attempt_queries import GRAVITY, AttemptFilter, AttemptView, RecoveryState
from domain.payments.queries import Page, PageRequest
from persistence.attention import ATTEMPTS_NEEDING_ATTENTION, UNRESOLVED
from persistence.batched_reader import BatchedReader, Selection, array, of_visible, owned
from persistence.paging import Keyset
from persistence.rows import Row
from persistence.statements import Statement, Values
from persistence.tables import attempts

_c = attempts.c
_OLDEST_FIRST = Keyset(_c.first_sent_at, _c.id, descending=False)
# As text, so that PostgreSQL can tell that it is the condition of the partial index.
_NOT_DONE: ColumnElement[bool] = literal_column("attempts.state IN ('OPEN', 'MANUAL', 'PARKED')")
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


_ATTEMPTS = Selection(
    attempts,
    _COLUMNS,
    _c.id,
    {
        "not_done": _NOT_DONE,
        "needing_attention": _c.id.in_(ATTEMPTS_NEEDING_ATTENTION),
        "states": any_(bindparam("states", type_=ARRAY(String))) == _STATE,
        "transaction_id": _c.transaction_id == bindparam("transaction_id"),
    },
    {"kinds": _c.kind},
)
_RECOVERIES = Selection(
    attempts,
    _COLUMNS,
    _c.id,
    {
        "owner": of_visible(_c.transaction_id),
        "transaction_ids": and_(_c.transaction_id == any_(array("transaction_ids")), _c.state != "DONE"),
    },
)


class SqlAttemptReader(BatchedReader):
    """The reads behind `domain.payments.attempt_queries.AttemptReader`."""

    async def recoveries_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, AttemptView]:
        values = {**owned(scope), "transaction_ids": transaction_ids}
        rows = await self._rows(_recoveries_statement(frozenset(values)), values)
        gravest: dict[TransactionId, AttemptView] = {}
        for view in map(_view_of, rows):
            known = gravest.get(view.transaction_id)
            if known is None or GRAVITY[view.state] > GRAVITY[known.state]:
                gravest[view.transaction_id] = view
        return gravest

    async def attempts_by_ids(self, ids: Sequence[AttemptId], scope: Scope) -> dict[AttemptId, AttemptView]:
        if scope.owner is not None:
            return {}
        return await self._by_ids(ids, _ATTEMPTS, {}, _view_of)

    async def attempts(self, where: AttemptFilter, page: PageRequest, scope: Scope) -> Page[AttemptView]:
        if scope.owner is not None:
            return Page((), (), has_previous=False, has_next=False)
        return await self._page(_ATTEMPTS, _values_of(where), _OLDEST_FIRST, page, _view_of)

    async def count_attempts(self, where: AttemptFilter, scope: Scope) -> int:
        if scope.owner is not None:
            return 0
        return await self._count(_ATTEMPTS, _values_of(where))


@cache
def _recoveries_statement(names: frozenset[str]) -> Statement:
    """What is not done of transactions, the oldest first."""
    return _RECOVERIES.compiled(_RECOVERIES.where(names).order_by(_c.first_sent_at, _c.id), names)


def _values_of(where: AttemptFilter) -> Values:
    values: dict[str, object] = {"not_done": True}
    if where.needs_attention:
        values["needing_attention"] = True
    if where.states is not None:
        values["states"] = sorted(where.states)
    if where.kinds is not None:
        values["kinds"] = sorted(where.kinds)
    if where.transaction_id is not None:
        values["transaction_id"] = where.transaction_id
    return values


def _view_of(row: Row) -> AttemptView:
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
