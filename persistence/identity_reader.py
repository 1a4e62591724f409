"""Reads of users and their sessions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, select

from domain.access import Actor, Role
from domain.identity.queries import SessionHolder, UserFilter
from domain.identity.sessions import Session
from domain.identity.users import User
from domain.ids import SessionId, UserId
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, among
from persistence.engine import autocommitting
from persistence.paging import Keyset
from persistence.sessions import session_of
from persistence.tables import second_factors, sessions, users
from persistence.users import user_of

_NEWEST_FIRST = Keyset(users.c.created_at, users.c.id, descending=True)

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

    async def users(self, actor: Actor, where: UserFilter, page: PageRequest) -> Page[User]:
        statement = select(*users.c).where(*_conditions(actor, where))
        return await self._page(statement, _NEWEST_FIRST, page, user_of)

    async def count_users(self, actor: Actor, where: UserFilter) -> int:
        return await self._count(users, *_conditions(actor, where))

    async def second_factors_of(self, user_ids: Sequence[UserId]) -> dict[UserId, int]:
        c = second_factors.c
        statement = select(c.user_id).where(among(c.user_id, user_ids), c.confirmed_at.is_not(None))
        return {UserId(row["user_id"]): 1 for row in await self._rows(statement)}


def _conditions(actor: Actor, where: UserFilter) -> list[ColumnElement[bool]]:
    c = users.c
    conditions: list[ColumnElement[bool]] = []
    if actor.people.owner is not None:
        conditions.append(c.id == actor.people.owner)
    if where.text is not None:
        # No pattern: what somebody types may hold % and _.
        searched = func.lower(c.name + " " + c.email)
        conditions.append(func.strpos(searched, func.lower(where.text)) > 0)
    if where.roles is not None:
        conditions.append(c.role.in_(sorted(where.roles)))
    if where.disabled is not None:
        conditions.append(c.disabled_at.is_not(None) if where.disabled else c.disabled_at.is_(None))
    return conditions
