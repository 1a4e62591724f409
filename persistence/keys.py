"""Idempotency keys in PostgreSQL."""

from functools import cache

from sqlalchemy import ColumnElement, and_, bindparam, exists, false, func, select
from sqlalchemy.dialects.postgresql import insert

from domain.idempotency import KeyedAct, KeyUse
from domain.ids import RefundId, TransactionId, UserId
from domain.payments.attempt import AttemptKind, AttemptState
from persistence.connection import Connection
from persistence.statements import Statement, compiled
from persistence.tables import attempts, idempotency_keys

_KIND_OF_ACT = {
    KeyedAct.CREATE_PAYMENT: AttemptKind.CHARGE,
    KeyedAct.CAPTURE: AttemptKind.CAPTURE,
    KeyedAct.VOID: AttemptKind.VOID,
    KeyedAct.REFUND: AttemptKind.REFUND,
    KeyedAct.APPROVE_REFUND: AttemptKind.REFUND,
}

# Made once, as the statements on transactions are.
_CLAIM = compiled(
    insert(idempotency_keys).values(created_at=func.clock_timestamp()).on_conflict_do_nothing(),
    ("actor_id", "act", "key", "fingerprint", "transaction_id", "refund_id"),
)


class SqlKeys:
    """The repository behind `domain.idempotency.KeyRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, use: KeyUse) -> bool:
        return await self._connection.execute(_CLAIM, use_columns(use)) == 1

    async def find(self, actor_id: UserId, act: KeyedAct, key: str) -> KeyUse | None:
        wanted = {"actor_id": actor_id, "act": act.value, "key": key}
        row = await self._connection.fetch_one(_find(_KIND_OF_ACT.get(act)), wanted)
        if row is None:
            return None
        return KeyUse(
            actor_id=actor_id,
            act=act,
            key=key,
            fingerprint=row["fingerprint"],
            transaction_id=TransactionId(row["transaction_id"]),
            refund_id=None if row["refund_id"] is None else RefundId(row["refund_id"]),
            running=row["running"],
        )


def use_columns(use: KeyUse) -> dict[str, object]:
    return {
        "actor_id": use.actor_id,
        "act": use.act.value,
        "key": use.key,
        "fingerprint": use.fingerprint,
        "transaction_id": use.transaction_id,
        "refund_id": use.refund_id,
    }


@cache
def _find(kind: AttemptKind | None) -> Statement:
    c = idempotency_keys.c
    running = false() if kind is None else _runs(kind)
    return compiled(
        select(c.fingerprint, c.transaction_id, c.refund_id, running.label("running")).where(
            c.actor_id == bindparam("actor_id"), c.act == bindparam("act"), c.key == bindparam("key")
        )
    )


def _runs(kind: AttemptKind) -> ColumnElement[bool]:
    """Whether a key's first request is running: its first claim of the attempt holds. A crashed one's ends with its lease."""
    c = idempotency_keys.c
    return exists().where(
        and_(
            attempts.c.transaction_id == c.transaction_id,
            attempts.c.refund_id.is_not_distinct_from(c.refund_id),
            attempts.c.kind == kind.value,
            attempts.c.state == AttemptState.OPEN.value,
            attempts.c.tries == 1,
            attempts.c.lease_until > func.clock_timestamp(),
        )
    )
