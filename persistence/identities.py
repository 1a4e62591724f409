"""Identities in PostgreSQL: whom providers vouch for, and how they are looked up for each request."""

from collections.abc import Sequence

from sqlalchemy import Text, and_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Role
from domain.identity.providers import Identity, VouchedHolder
from domain.identity.users import User
from domain.ids import UserId
from domain.joined_lookups import JoinedLookups
from persistence.connection import Connection
from persistence.engine import fetch
from persistence.rows import Row
from persistence.statements import compiled
from persistence.tables import identities, users
from persistence.users import user_of

_C = identities.c

_ASKED = (
    func.unnest(bindparam("issuers", type_=ARRAY(Text)), bindparam("subjects", type_=ARRAY(Text)))
    .table_valued("issuer", "subject", name="asked")
    .render_derived()
)
# Asked with every request by a provider's token. Look-ups by key, in one statement.
_HOLDERS = compiled(
    select(_C.issuer, _C.subject, users.c.id, users.c.role, _C.granted_role, _C.granted_at)
    .select_from(_ASKED)
    .join(identities, and_(_C.issuer == _ASKED.c.issuer, _C.subject == _ASKED.c.subject))
    .join(users, users.c.id == _C.user_id)
    .where(users.c.disabled_at.is_(None))
)


class SqlIdentities:
    """The repository behind `domain.identity.providers.IdentityRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self, issuer: str, subject: str) -> tuple[Identity, User] | None:
        this = (_C.issuer == issuer, _C.subject == subject)
        # The user's row alone, which everybody who changes either takes first; and the identity is read when it is held, because
        # whoever held it before may have changed that. Not the key's lock: see SqlUsers.lock.
        owner = select(_C.user_id).where(*this).scalar_subquery()
        locked = select(*users.c).where(users.c.id == owner).with_for_update(key_share=True)
        user = await self._connection.fetch_one(locked)
        if user is None:
            return None
        (identity,) = await self._connection.fetch(select(*_C).where(*this))
        return _identity_of(identity), user_of(user)

    async def add(self, identity: Identity) -> bool:
        statement = (
            insert(identities)
            .values(
                issuer=identity.issuer,
                subject=identity.subject,
                user_id=identity.user_id,
                granted_role=identity.granted_role,
                granted_at=identity.granted_at,
                created_at=identity.created_at,
            )
            .on_conflict_do_nothing()
        )
        return await self._connection.execute(statement) == 1

    async def grant(self, identity: Identity) -> None:
        statement = (
            update(identities)
            .where(_C.issuer == identity.issuer, _C.subject == identity.subject)
            .values(granted_role=identity.granted_role, granted_at=identity.granted_at)
        )
        await self._connection.execute(statement)


class SqlIdentityDirectory:
    """The port `domain.identity.providers.IdentityDirectory`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._holders = JoinedLookups[tuple[str, str], VouchedHolder](self._holders_of)

    async def holder_of(self, issuer: str, subject: str) -> VouchedHolder | None:
        return await self._holders.find((issuer, subject))

    async def _holders_of(self, asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], VouchedHolder]:
        issuers, subjects = zip(*asked, strict=True)
        return {
            (row["issuer"], row["subject"]): VouchedHolder(
                UserId(row["id"]), Role(row["role"]), _role_of(row["granted_role"]), row["granted_at"]
            )
            for row in await fetch(self._engine, _HOLDERS, {"issuers": issuers, "subjects": subjects})
        }


def _identity_of(row: Row) -> Identity:
    return Identity(
        issuer=row["issuer"],
        subject=row["subject"],
        user_id=UserId(row["user_id"]),
        granted_role=_role_of(row["granted_role"]),
        granted_at=row["granted_at"],
        created_at=row["created_at"],
    )


def _role_of(text: str | None) -> Role | None:
    return None if text is None else Role(text)
