"""Sessions in PostgreSQL."""

from datetime import datetime

from sqlalchemy import delete, insert, or_, select, update

from domain.identity.one_time import TokenDigest
from domain.identity.sessions import PresentedToken, Session, SessionKind
from domain.ids import SessionId, UserId
from persistence.connection import Connection
from persistence.rows import Row
from persistence.tables import refresh_tokens, sessions


class SqlSessions:
    """The repository behind `domain.identity.sessions.SessionRepository`."""

    def __init__(self, connection: Connection) -> None:
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

    async def add_token(self, digest: TokenDigest, session_id: SessionId, at: datetime) -> None:
        await self._connection.execute(
            insert(refresh_tokens).values(digest=digest, session_id=session_id, issued_at=at)
        )

    async def present(self, digest: TokenDigest) -> PresentedToken | None:
        # Both rows are locked, so that whoever waited for them sees them as they were left, and not as they were found.
        statement = (
            select(*sessions.c, refresh_tokens.c.used_at)
            .join_from(refresh_tokens, sessions, sessions.c.id == refresh_tokens.c.session_id)
            .where(refresh_tokens.c.digest == digest)
            .with_for_update()
        )
        row = await self._connection.fetch_one(statement)
        return None if row is None else PresentedToken(session_of(row), row["used_at"])

    async def use_token(self, digest: TokenDigest, at: datetime) -> None:
        statement = update(refresh_tokens).where(refresh_tokens.c.digest == digest).values(used_at=at)
        await self._connection.execute(statement)

    async def extend(self, session_id: SessionId, now: datetime, expires_at: datetime) -> None:
        statement = update(sessions).where(sessions.c.id == session_id).values(last_used_at=now, expires_at=expires_at)
        await self._connection.execute(statement)

    async def revoke(self, session_id: SessionId, user_id: UserId, at: datetime) -> bool:
        c = sessions.c
        statement = (
            update(sessions)
            .where(c.id == session_id, c.user_id == user_id, c.revoked_at.is_(None), c.expires_at > at)
            .values(revoked_at=at)
        )
        return await self._connection.execute(statement) == 1

    async def revoke_all(self, user_id: UserId, at: datetime, *, but: SessionId | None = None) -> int:
        c = sessions.c
        statement = (
            update(sessions)
            .where(c.user_id == user_id, c.id.is_distinct_from(but), c.revoked_at.is_(None), c.expires_at > at)
            .values(revoked_at=at)
        )
        return await self._connection.execute(statement)

    async def prune(self, over_before: datetime, limit: int) -> int:
        c = sessions.c
        over = (
            select(c.id)
            .where(or_(c.expires_at < over_before, c.revoked_at < over_before))
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("over")
        )
        return await self._connection.execute(delete(sessions).where(c.id.in_(select(over.c.id))))


def session_of(row: Row) -> Session:
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
