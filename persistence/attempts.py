"""Attempts in PostgreSQL. Leases go by the database's clock, so that no process's own clock can steal one."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Interval,
    String,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningUpdate

from domain.ids import AttemptId, RefundId, TransactionId
from domain.leases import LEASE, SPREAD
from domain.payments.attempt import Alert, Attempt, AttemptKind, AttemptState, AttemptStep, Attention
from domain.payments.transaction import Failure
from domain.ports import LeaseLost
from persistence.attention import ATTEMPTS_NEEDING_ATTENTION, ATTENTION, LEFT, UNRESOLVED
from persistence.connection import Connection
from persistence.rows import FAILURE_COLUMNS, Row, failure_columns, failure_of
from persistence.statements import Statement, compiled
from persistence.tables import attempts


class SqlAttempts:
    """The repository behind `domain.ports.AttemptRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, attempt: Attempt) -> None:
        await self._connection.execute(_ADD, attempt_columns(attempt))

    async def add_only(self, attempt: Attempt) -> bool:
        return await self._connection.execute(_ADD_ONLY, attempt_columns(attempt)) == 1

    async def get(self, attempt_id: AttemptId) -> Attempt | None:
        statement = select(*_COLUMNS).where(attempts.c.id == attempt_id)
        row = await self._connection.fetch_one(statement)
        return None if row is None else _attempt_of(row)

    async def take_over(self, attempt_id: AttemptId, *, left_only: bool) -> Attempt | None:
        c = attempts.c
        now = func.statement_timestamp()
        free = and_(UNRESOLVED, or_(c.lease_until.is_(None), c.lease_until < now))
        statement = (
            update(attempts)
            .where(c.id == attempt_id, LEFT if left_only else or_(LEFT, free))
            .values(
                state=AttemptState.OPEN.value,
                tries=c.tries + 1,
                unreported_claims=1,
                lease_until=now + LEASE,
                next_check_at=now + LEASE,
                last_checked_at=now,
                unknown_since=func.coalesce(c.unknown_since, c.last_checked_at),
            )
            .returning(*_COLUMNS)
        )
        row = await self._connection.fetch_one(statement)
        return None if row is None else _attempt_of(row)

    async def is_open(self, transaction_id: TransactionId, kind: AttemptKind) -> bool:
        statement = select(attempts.c.id).where(
            attempts.c.transaction_id == transaction_id,
            attempts.c.kind == kind.value,
            attempts.c.state != AttemptState.DONE.value,
        )
        return await self._connection.execute(statement) > 0

    async def claim_due(self, limit: int, deaths_max: int) -> list[Attempt]:
        wanted = {
            "limit": limit,
            "deaths_max": deaths_max,
            "parked_because": PARKED_BECAUSE.format(deaths=deaths_max),
        }
        claimed = [_attempt_of(row) for row in await self._connection.fetch(_CLAIM_DUE, wanted)]
        # RETURNING knows no order; ids are in the order of time.
        return sorted(claimed, key=lambda attempt: attempt.id)

    async def renew(self, attempt: Attempt) -> timedelta:
        row = await self._mine(attempt, _RENEW)
        age: timedelta = row["key_age"]
        return age

    async def advance(self, attempt: Attempt, step: AttemptStep, failure: Failure | None = None) -> None:
        await self._mine(attempt, _ADVANCE, step=step.value, **failure_columns(failure))

    async def defer(self, attempt: Attempt, pause: timedelta, unknown_because: str | None) -> None:
        if unknown_because is None:
            await self._mine(attempt, _DEFER_KNOWN, pause=pause)
        else:
            await self._mine(attempt, _DEFER_UNKNOWN, pause=pause, reason=unknown_because)

    async def mark_manual(self, attempt: Attempt, reason: str) -> None:
        await self._mine(attempt, _LEAVE_TO_A_PERSON, reason=reason)

    async def failure_of_charge(self, transaction_id: TransactionId) -> Failure | None:
        row = await self._connection.fetch_one(_CHARGE_OF, {"transaction_id": transaction_id})
        return None if row is None else failure_of(row)

    async def take_alerts(self, limit: int) -> list[Alert]:
        c = attempts.c
        new = (
            select(c.id)
            .where(c.id.in_(ATTEMPTS_NEEDING_ATTENTION), c.alerted_as.is_distinct_from(ATTENTION))
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("new")
        )
        statement = (
            update(attempts)
            .where(c.id.in_(select(new.c.id)))
            .values(alerted_as=ATTENTION)
            .returning(c.id, c.transaction_id, c.kind, c.alerted_as, c.reason, _KEY_AGE)
        )
        return [
            Alert(
                attempt_id=AttemptId(row["id"]),
                transaction_id=TransactionId(row["transaction_id"]),
                kind=AttemptKind(row["kind"]),
                attention=Attention(row["alerted_as"]),
                age=row["key_age"],
                reason=row["reason"],
            )
            for row in await self._connection.fetch(statement)
        ]

    async def finish(self, attempt_id: AttemptId) -> None:
        await self._connection.execute(_FINISH, {"finished_id": attempt_id})

    async def finish_all(self, transaction_id: TransactionId, kinds: frozenset[AttemptKind]) -> None:
        values = [kind.value for kind in kinds]
        await self._connection.execute(_FINISH_ALL, {"of_transaction": transaction_id, "kinds": values})

    async def finish_refund(self, refund_id: RefundId) -> None:
        await self._connection.execute(_FINISH_REFUND, {"of_refund": refund_id})

    async def _mine(self, attempt: Attempt, change: Statement, **values: object) -> Row:
        """Change an open attempt if nobody else has claimed it since.

        One that another door has finished meanwhile is left finished: its outcome is known, and that is the better news.
        """
        claim = {"held_id": attempt.id, "held_tries": attempt.tries}
        row = await self._connection.fetch_one(change, claim | values)
        if row is None:
            raise lost(attempt)
        return row


PARKED_BECAUSE = "Whoever worked on it died without a word, {deaths} times in a row."

_KEY_AGE = (func.clock_timestamp() - attempts.c.first_sent_at).label("key_age")
_COLUMNS = (*attempts.c, _KEY_AGE)


def _claiming() -> ReturningUpdate[Any]:  # Any: of several types of columns
    # The statement's own time, which unlike the clock's can be looked up in the index.
    now = func.statement_timestamp()
    # A CTE that locks runs once; as a subquery PostgreSQL may run it for each row, and claim more than the limit.
    due = (
        select(attempts.c.id)
        .where(
            attempts.c.state == AttemptState.OPEN.value,
            attempts.c.next_check_at <= now,
            or_(attempts.c.lease_until.is_(None), attempts.c.lease_until < now),
        )
        .order_by(attempts.c.next_check_at)
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    c = attempts.c
    deadly = c.unreported_claims >= bindparam("deaths_max")
    return (
        update(attempts)
        .where(c.id.in_(select(due.c.id)))
        .values(
            tries=c.tries + 1,
            unreported_claims=c.unreported_claims + 1,
            lease_until=case((deadly, null()), else_=now + LEASE),
            next_check_at=now + LEASE + SPREAD * (func.random() * c.unreported_claims),
            last_checked_at=now,
            # Whoever held it before died without a word of what the processor did.
            unknown_since=case(
                (c.unreported_claims > 0, func.coalesce(c.unknown_since, c.last_checked_at)), else_=c.unknown_since
            ),
            state=case((deadly, AttemptState.PARKED.value), else_=c.state),
            reason=case((deadly, bindparam("parked_because", type_=String)), else_=c.reason),
        )
        .returning(*_COLUMNS)
    )


def _mine(*conditions: ColumnElement[bool], given: Sequence[str] = (), **values: object) -> Statement:
    """`given` are columns that each run has a value for."""
    return compiled(update(attempts).where(HELD, *conditions).values(values).returning(_KEY_AGE), given)


def _finishing(condition: ColumnElement[bool]) -> Statement:
    return compiled(
        update(attempts)
        .where(condition, attempts.c.state != AttemptState.DONE.value)
        .values(state=AttemptState.DONE.value, lease_until=None)
    )


HELD = and_(
    attempts.c.id == bindparam("held_id"),
    attempts.c.tries == bindparam("held_tries"),
    attempts.c.state == AttemptState.OPEN.value,
)
"""Whether the attempt is still held by the claim with that number."""

# Made once, as the statements on transactions are.
_c = attempts.c
LEASE_END = func.clock_timestamp() + LEASE
_PAUSE_END = func.clock_timestamp() + bindparam("pause", type_=Interval)
# Of an attempt that is stored, claimed by whoever stores it.
STAMPS: Final[Mapping[str, ColumnElement[Any]]] = {  # Any: numbers and times
    "unreported_claims": literal(1),
    "first_sent_at": func.clock_timestamp(),
    "lease_until": LEASE_END,
    "next_check_at": LEASE_END,
    "last_checked_at": func.clock_timestamp(),
}
OF_AN_ATTEMPT = ("id", "kind", "transaction_id", "refund_id", "amount", "step", "state", "tries")
_add = insert(attempts).values(**STAMPS)
_ADD = compiled(_add, OF_AN_ATTEMPT)
_ADD_ONLY = compiled(_add.on_conflict_do_nothing(), OF_AN_ATTEMPT)
_CHARGE_OF = compiled(
    select(attempts).where(_c.transaction_id == bindparam("transaction_id"), _c.kind == AttemptKind.CHARGE.value)
)
_CLAIM_DUE = compiled(_claiming())
# A renewal that was on its way when the attempt was deferred finds that it holds nothing any more.
_RENEW = _mine(_c.lease_until.is_not(None), lease_until=LEASE_END)
_ADVANCE = _mine(given=("step", *FAILURE_COLUMNS), lease_until=LEASE_END)
_DEFER_KNOWN = _mine(lease_until=None, next_check_at=_PAUSE_END, unreported_claims=0, reason=None, unknown_since=None)
_DEFER_UNKNOWN = _mine(
    given=("reason",),
    lease_until=None,
    next_check_at=_PAUSE_END,
    unreported_claims=0,
    # From the look that brought no answer on.
    unknown_since=func.coalesce(_c.unknown_since, _c.last_checked_at),
)
_LEAVE_TO_A_PERSON = _mine(given=("reason",), lease_until=None, state=AttemptState.MANUAL.value, unreported_claims=0)
_FINISH = _finishing(_c.id == bindparam("finished_id"))
_FINISH_ALL = _finishing(
    and_(_c.transaction_id == bindparam("of_transaction"), _c.kind == func.any(bindparam("kinds", type_=ARRAY(Text))))
)
_FINISH_REFUND = _finishing(_c.refund_id == bindparam("of_refund"))


def lost(attempt: Attempt) -> LeaseLost:
    return LeaseLost(f"Attempt {attempt.id} was finished or taken over by another process.")


def attempt_columns(attempt: Attempt) -> dict[str, object]:
    return {
        "id": attempt.id,
        "kind": attempt.kind.value,
        "transaction_id": attempt.transaction_id,
        "refund_id": attempt.refund_id,
        "amount": attempt.amount,
        "step": attempt.step.value,
        "state": attempt.state.value,
        "tries": attempt.tries,
    }


def _attempt_of(row: Row) -> Attempt:
    return Attempt(
        id=AttemptId(row["id"]),
        kind=AttemptKind(row["kind"]),
        transaction_id=TransactionId(row["transaction_id"]),
        refund_id=None if row["refund_id"] is None else RefundId(row["refund_id"]),
        amount=row["amount"],
        step=AttemptStep(row["step"]),
        state=AttemptState(row["state"]),
        tries=row["tries"],
        failure=failure_of(row),
        key_age=row["key_age"],
    )
