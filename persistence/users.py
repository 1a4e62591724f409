"""Users in PostgreSQL."""

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.access import Role
from domain.identity.addresses import comparable
from domain.identity.users import User
from domain.ids import UserId
from domain.ports import EmailTaken
from persistence.connection import Connection
from persistence.rows import Row, by_value
from persistence.tables import users

_ROLES = by_value(Role)


class SqlUsers:
    """The repository behind `domain.ports.UserRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, user: User) -> None:
        statement = (
            insert(users)
            .values(
                id=user.id,
                email=user.email,
                name=user.name,
                role=user.role.value,
                created_at=user.created_at,
                email_verified_at=user.email_verified_at,
                disabled_at=user.disabled_at,
            )
            .on_conflict_do_nothing()
        )
        if await self._connection.execute(statement) == 0:
            raise EmailTaken(f"A user with the address {user.email} exists already.")

    async def get(self, user_id: UserId) -> User | None:
        return await self._one(users.c.id == user_id)

    async def get_by_email(self, email: str) -> User | None:
        return await self._one(_has(email))

    async def lock_by_email(self, email: str) -> User | None:
        return await self._one(_has(email), locked=True)

    async def lock_administrators(self) -> set[UserId]:
        administers = (users.c.role == Role.ADMIN.value, users.c.disabled_at.is_(None))
        statement = select(users.c.id).where(*administers).order_by(users.c.id).with_for_update(key_share=True)
        return {UserId(row["id"]) for row in await self._connection.fetch(statement)}

    async def lock(self, user_id: UserId) -> User | None:
        # Not the key's lock: rows that refer to the user are added meanwhile, by whoever holds one of them.
        statement = select(*users.c).where(users.c.id == user_id).with_for_update(key_share=True)
        row = await self._connection.fetch_one(statement)
        return None if row is None else user_of(row)

    async def save(self, user: User) -> None:
        await self._connection.execute(
            update(users)
            .where(users.c.id == user.id)
            .values(role=user.role.value, email_verified_at=user.email_verified_at, disabled_at=user.disabled_at)
        )

    async def _one(self, condition: ColumnElement[bool], *, locked: bool = False) -> User | None:
        statement = select(users).where(condition)
        row = await self._connection.fetch_one(statement.with_for_update(key_share=True) if locked else statement)
        return user_of(row) if row is not None else None


def _has(email: str) -> ColumnElement[bool]:
    return func.lower(users.c.email) == comparable(email)


def user_of(row: Row) -> User:
    return User(
        id=UserId(row["id"]),
        email=row["email"],
        name=row["name"],
        role=_ROLES[row["role"]],
        created_at=row["created_at"],
        email_verified_at=row["email_verified_at"],
        disabled_at=row["disabled_at"],
    )
