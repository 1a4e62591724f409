"""Reads of users and their sessions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import any_, bindparam, func, select

from domain.access import Actor, Role
from domain.identity.queries import SessionHolder, UserFilter
from domain.identity.sessions import Session
from domain.identity.users import User
from domain.ids import SessionId, UserId
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, Selection, array, owned
from persistence.paging import Keyset
from persistence.rows import by_value
from persistence.sessions import session_of
from persistence.statements import Values, compiled
from persistence.tables import second_factors, sessions, users
from persistence.users import user_of

_NEWEST_FIRST = Keyset(users.c.created_at, users.c.id, descending=True)
_ROLES = by_value(Role)

# Asked with every request. Look-ups by primary key, in one statement.
_HOLDERS = compiled(
    select(sessions.c.id, sessions.c.user_id, sessions.c.second_factor, users.c.role)
    .join_from(sessions, users, users.c.id == sessions.c.user_id)
    .where(
        sessions.c.id == any_(array("session_ids")),
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > bindparam("now"),
        users.c.disabled_at.is_(None),
    )
)
_OPEN_SESSIONS = compiled(
    select(*sessions.c)
    .where(
        sessions.c.user_id == any_(array("user_ids")),
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > bindparam("now"),
    )
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
)
_SECOND_FACTORS = compiled(
    select(second_factors.c.user_id).where(
        second_factors.c.user_id == any_(array("user_ids")), second_factors.c.confirmed_at.is_not(None)
    )
)
_USERS = Selection(
    users,
    tuple(users.c),
    users.c.id,
    {
        "owner": users.c.id == bindparam("owner"),
        # No pattern: what somebody types may hold % and _.
        "text": func.strpos(func.lower(users.c.name + " " + users.c.email), func.lower(bindparam("text"))) > 0,
        "disabled": users.c.disabled_at.is_not(None),
        "not_disabled": users.c.disabled_at.is_(None),
    },
    {"roles": users.c.role},
)


class SqlIdentityReader(BatchedReader):
    """The reads behind `domain.identity.queries.IdentityReader`."""

    async def holders_of(self, session_ids: Sequence[SessionId], now: datetime) -> dict[SessionId, SessionHolder]:
        found: dict[SessionId, SessionHolder] = {}
        for row in await self._rows(_HOLDERS, {"session_ids": session_ids, "now": now}):
            session_id = SessionId(row["id"])
            found[session_id] = SessionHolder(
                UserId(row["user_id"]), _ROLES[row["role"]], session_id, row["second_factor"]
            )
        return found

    async def open_sessions_of(self, user_ids: Sequence[UserId], now: datetime) -> dict[UserId, list[Session]]:
        found: dict[UserId, list[Session]] = {user_id: [] for user_id in user_ids}
        for row in await self._rows(_OPEN_SESSIONS, {"user_ids": user_ids, "now": now}):
            found[UserId(row["user_id"])].append(session_of(row))
        return found

    async def users(self, actor: Actor, where: UserFilter, page: PageRequest) -> Page[User]:
        by_role = where.roles is not None and where.disabled is not True and actor.people.owner is None
        values, piecewise = _values_of(actor, where), "roles" if by_role else None
        return await self._page(_USERS, values, _NEWEST_FIRST, page, user_of, piecewise=piecewise)

    async def count_users(self, actor: Actor, where: UserFilter) -> int:
        return await self._count(_USERS, _values_of(actor, where))

    async def second_factors_of(self, user_ids: Sequence[UserId]) -> dict[UserId, int]:
        return {UserId(row["user_id"]): 1 for row in await self._rows(_SECOND_FACTORS, {"user_ids": user_ids})}


def _values_of(actor: Actor, where: UserFilter) -> Values:
    values: dict[str, object] = dict(owned(actor.people))
    if where.text is not None:
        values["text"] = where.text
    if where.roles is not None:
        values["roles"] = sorted(where.roles)
    if where.disabled is not None:
        values["disabled" if where.disabled else "not_disabled"] = True
    return values
