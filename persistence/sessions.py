"""Sessions in PostgreSQL."""

from datetime import datetime

from sqlalchemy import RowMapping, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.identity.sessions import Session, SessionKind
from domain.ids import SessionId, UserId
from persistence.tables import sessions


class SqlSessions:
    """The repository behind `domain.identity.sessions.SessionRepository`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session) -> None:
        await self._connection.execute(
            insert(sessions).values(
                id=session.id,
                user_id=session.user_id,
                kind=session.kind.value,
                second_factor=session.second_factor,
                client=session.client,
                created_at=session.created_at,
                last_used_at=session.last_used_at,
                expires_at=session.expires_at,
                revoked_at=session.revoked_at,
            )
        )

    async def revoke(self, session_id: SessionId, user_id: UserId, at: datetime) -> bool:
        c = sessions.c
        statement = (
            update(sessions)
            .where(c.id == session_id, c.user_id == user_id, c.revoked_at.is_(None), c.expires_at > at)
            .values(revoked_at=at)
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def revoke_all(self, user_id: UserId, at: datetime, *, but: SessionId | None = None) -> int:
        c = sessions.c
        statement = (
            update(sessions)
            .where(c.user_id == user_id, c.id.is_distinct_from(but), c.revoked_at.is_(None), c.expires_at > at)
            .values(revoked_at=at)
        )
        return (await self._connection.execute(statement)).rowcount


def session_of(row: RowMapping) -> Session:
    return Session(
        id=SessionId(row["id"]),
        user_id=UserId(row["user_id"]),
        kind=SessionKind(row["kind"]),
        second_factor=row["second_factor"],
        client=row["client"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
