"""Reads of users and their sessions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select

from domain.access import Role
from domain.identity.queries import SessionHolder
from domain.identity.sessions import Session
from domain.ids import SessionId, UserId
from persistence.batched_reader import BatchedReader, among
from persistence.engine import autocommitting
from persistence.sessions import session_of
from persistence.tables import sessions, users

# Asked with every request, so it is built once. Two look-ups by primary key, in one statement.
_HOLDER = (
    select(users.c.role, sessions.c.second_factor)
    .join_from(sessions, users, users.c.id == sessions.c.user_id)
    .where(
        sessions.c.id == bindparam("session_id"),
        users.c.id == bindparam("user_id"),
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > bindparam("now"),
        users.c.disabled_at.is_(None),
    )
)


class SqlIdentityReader(BatchedReader):
    """The reads behind `domain.identity.queries.IdentityReader`."""

    async def holder_of(self, session_id: SessionId, user_id: UserId, now: datetime) -> SessionHolder | None:
        async with autocommitting(self._engine) as connection:
            found = await connection.execute(_HOLDER, {"session_id": session_id, "user_id": user_id, "now": now})
            row = found.one_or_none()
        if row is None:
            return None
        return SessionHolder(user_id, Role(row.role), session_id, row.second_factor)

    async def open_sessions_of(self, user_ids: Sequence[UserId], now: datetime) -> dict[UserId, list[Session]]:
        c = sessions.c
        statement = (
            select(*c)
            .where(among(c.user_id, user_ids), c.revoked_at.is_(None), c.expires_at > now)
            .order_by(c.last_used_at.desc(), c.id.desc())
        )
        found: dict[UserId, list[Session]] = {user_id: [] for user_id in user_ids}
        for row in await self._rows(statement):
            found[UserId(row["user_id"])].append(session_of(row))
        return found
