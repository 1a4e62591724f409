"""Passwords' hashes in PostgreSQL, in a table of their own."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import insert

from domain.identity.addresses import comparable
from domain.identity.credentials import Credential
from domain.ids import UserId
from persistence.connection import Connection
from persistence.tables import credentials, users
from persistence.users import user_of


class SqlCredentials:
    """The repository behind `domain.identity.credentials.CredentialRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find_by_email(self, email: str) -> Credential | None:
        return await self._one(_of(func.lower(users.c.email) == comparable(email)))

    async def find(self, user_id: UserId) -> Credential | None:
        return await self._one(_of(users.c.id == user_id))

    async def lock(self, user_id: UserId) -> Credential | None:
        # Not the key's lock: rows that refer to the user are added meanwhile, by whoever holds one of them.
        lock = select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
        await self._connection.execute(lock)
        # A statement of its own, which sees what whoever held the lock has left.
        return await self.find(user_id)

    async def set_password(self, user_id: UserId, password_hash: str, at: datetime) -> None:
        statement = insert(credentials).values(user_id=user_id, password_hash=password_hash, changed_at=at)
        changed = {"password_hash": password_hash, "changed_at": at}
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=[credentials.c.user_id], set_=changed)
        )

    async def _one(self, statement: Select[*tuple[Any, ...]]) -> Credential | None:  # Any: the columns of two tables
        row = await self._connection.fetch_one(statement)
        return None if row is None else Credential(user_of(row), row["password_hash"])


def _of(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:  # Any: as above
    joined = users.outerjoin(credentials, credentials.c.user_id == users.c.id)
    return select(*users.c, credentials.c.password_hash).select_from(joined).where(condition)
