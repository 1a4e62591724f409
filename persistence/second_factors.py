"""Second factors and recovery codes in PostgreSQL."""

from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.identity.one_time import TokenDigest
from domain.identity.second_factor import SecondFactor
from domain.ids import SessionId, UserId
from persistence.connection import Connection
from persistence.tables import recovery_codes, second_factors, sessions

_C = second_factors.c


class SqlSecondFactors:
    """The repository behind `domain.identity.second_factor.SecondFactorRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, user_id: UserId) -> SecondFactor | None:
        statement = select(*_C).where(_C.user_id == user_id)
        row = await self._connection.fetch_one(statement)
        return None if row is None else SecondFactor(**row)

    async def put(self, factor: SecondFactor) -> None:
        values = {
            "sealed_secret": factor.sealed_secret,
            "created_at": factor.created_at,
            "confirmed_at": factor.confirmed_at,
            "last_step": factor.last_step,
        }
        statement = upsert(second_factors).values(user_id=factor.user_id, **values)
        unconfirmed = _C.confirmed_at.is_(None)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=[_C.user_id], set_=values, where=unconfirmed)
        )

    async def confirm(self, user_id: UserId, at: datetime, step: int) -> None:
        await self._connection.execute(
            update(second_factors).where(_C.user_id == user_id).values(confirmed_at=at, last_step=step)
        )

    async def take_step(self, user_id: UserId, step: int) -> bool:
        statement = update(second_factors).where(_C.user_id == user_id, _C.last_step < step).values(last_step=step)
        return await self._connection.execute(statement) == 1

    async def remove(self, user_id: UserId) -> None:
        await self._connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
        await self._connection.execute(delete(second_factors).where(_C.user_id == user_id))

    async def put_codes(self, user_id: UserId, digests: list[TokenDigest]) -> None:
        rows = [{"user_id": user_id, "digest": digest} for digest in digests]
        await self._connection.execute(insert(recovery_codes).values(rows))

    async def take_code(self, user_id: UserId, digest: TokenDigest) -> bool:
        c = recovery_codes.c
        statement = delete(recovery_codes).where(c.user_id == user_id, c.digest == digest)
        return await self._connection.execute(statement) == 1

    async def mark_session(self, session_id: SessionId, *, second_factor: bool) -> None:
        await self._connection.execute(
            update(sessions).where(sessions.c.id == session_id).values(second_factor=second_factor)
        )
