"""Attempts in PostgreSQL. Leases go by the database's clock, so that no process's own clock can steal one."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import ColumnElement, RowMapping, and_, case, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.ids import AttemptId, RefundId, TransactionId
from domain.leases import LEASE, SPREAD
from domain.payments.attempt import Alert, Attempt, AttemptKind, AttemptState, AttemptStep, Attention
from domain.payments.transaction import Failure
from domain.ports import LeaseLost
from persistence.attention import ATTEMPTS_NEEDING_ATTENTION, ATTENTION, LEFT, UNRESOLVED
from persistence.rows import failure_columns, failure_of
from persistence.tables import attempts


class SqlAttempts:
    """The repository behind `domain.ports.AttemptRepository`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, attempt: Attempt) -> None:
        await self._connection.execute(insert(attempts).values(_columns(attempt)))

    async def add_only(self, attempt: Attempt) -> bool:
        statement = insert(attempts).values(_columns(attempt)).on_conflict_do_nothing()
        return (await self._connection.execute(statement)).rowcount == 1

    async def get(self, attempt_id: AttemptId) -> Attempt | None:
        statement = select(*_COLUMNS).where(attempts.c.id == attempt_id)
        row = (await self._connection.execute(statement)).mappings().one_or_none()
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
        row = (await self._connection.execute(statement)).mappings().one_or_none()
        return None if row is None else _attempt_of(row)

    async def is_open(self, transaction_id: TransactionId, kind: AttemptKind) -> bool:
        statement = select(attempts.c.id).where(
            attempts.c.transaction_id == transaction_id,
            attempts.c.kind == kind.value,
            attempts.c.state != AttemptState.DONE.value,
        )
        return (await self._connection.execute(statement)).first() is not None

    async def claim_due(self, limit: int, deaths_max: int) -> list[Attempt]:
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
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        c = attempts.c
        deadly = c.unreported_claims >= deaths_max
        statement = (
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
                reason=case((deadly, PARKED_BECAUSE.format(deaths=deaths_max)), else_=c.reason),
            )
            .returning(*_COLUMNS)
        )
        return [_attempt_of(row) for row in (await self._connection.execute(statement)).mappings()]

    async def renew(self, attempt: Attempt) -> timedelta:
        # One that was on its way when the attempt was deferred holds nothing any more.
        held = attempts.c.lease_until.is_not(None)
        row = await self._mine(attempt, {"lease_until": func.clock_timestamp() + LEASE}, held)
        age: timedelta = row["key_age"]
        return age

    async def advance(self, attempt: Attempt, step: AttemptStep, failure: Failure | None = None) -> None:
        values = {"step": step.value, "lease_until": func.clock_timestamp() + LEASE, **failure_columns(failure)}
        await self._mine(attempt, values)

    async def defer(self, attempt: Attempt, pause: timedelta, unknown_because: str | None) -> None:
        c = attempts.c
        values = {
            "lease_until": None,
            "next_check_at": func.clock_timestamp() + pause,
            "unreported_claims": 0,
            "reason": unknown_because,
            # From the look that brought no answer on.
            "unknown_since": None if unknown_because is None else func.coalesce(c.unknown_since, c.last_checked_at),
        }
        await self._mine(attempt, values)

    async def mark_manual(self, attempt: Attempt, reason: str) -> None:
        values = {"lease_until": None, "state": AttemptState.MANUAL.value, "reason": reason, "unreported_claims": 0}
        await self._mine(attempt, values)

    async def failure_of_charge(self, transaction_id: TransactionId) -> Failure | None:
        c = attempts.c
        statement = select(*c).where(c.transaction_id == transaction_id, c.kind == AttemptKind.CHARGE.value)
        row = (await self._connection.execute(statement)).mappings().one_or_none()
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
            for row in (await self._connection.execute(statement)).mappings()
        ]

    async def finish(self, attempt_id: AttemptId) -> None:
        await self._finish(attempts.c.id == attempt_id)

    async def finish_all(self, transaction_id: TransactionId, kinds: frozenset[AttemptKind]) -> None:
        values = [kind.value for kind in kinds]
        await self._finish(and_(attempts.c.transaction_id == transaction_id, attempts.c.kind.in_(values)))

    async def finish_refund(self, refund_id: RefundId) -> None:
        await self._finish(attempts.c.refund_id == refund_id)

    async def _finish(self, condition: ColumnElement[bool]) -> None:
        statement = (
            update(attempts)
            .where(condition, attempts.c.state != AttemptState.DONE.value)
            .values(state=AttemptState.DONE.value, lease_until=None)
        )
        await self._connection.execute(statement)

    async def _mine(
        self, attempt: Attempt, values: Mapping[str, object], *conditions: ColumnElement[bool]
    ) -> RowMapping:
        """Change an open attempt if nobody else has claimed it since.

        One that another door has finished meanwhile is left finished: its outcome is known, and that is the better news.
        """
        statement = (
            update(attempts)
            .where(
                attempts.c.id == attempt.id,
                attempts.c.tries == attempt.tries,
                attempts.c.state == AttemptState.OPEN.value,
                *conditions,
            )
            .values(values)
            .returning(_KEY_AGE)
        )
        row: RowMapping | None = (await self._connection.execute(statement)).mappings().one_or_none()
        if row is None:
            raise LeaseLost(f"Attempt {attempt.id} was finished or taken over by another process.")
        return row


PARKED_BECAUSE = "Whoever worked on it died without a word, {deaths} times in a row."

_KEY_AGE = (func.clock_timestamp() - attempts.c.first_sent_at).label("key_age")
_COLUMNS = (*attempts.c, _KEY_AGE)


def _columns(attempt: Attempt) -> dict[str, object]:
    until = func.clock_timestamp() + LEASE
    return {
        "id": attempt.id,
        "kind": attempt.kind.value,
        "transaction_id": attempt.transaction_id,
        "refund_id": attempt.refund_id,
        "amount": attempt.amount,
        "step": attempt.step.value,
        "state": attempt.state.value,
        "tries": attempt.tries,
        "unreported_claims": 1,
        "first_sent_at": func.clock_timestamp(),
        "lease_until": until,
        "next_check_at": until,
        "last_checked_at": func.clock_timestamp(),
    }


def _attempt_of(row: RowMapping) -> Attempt:
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
