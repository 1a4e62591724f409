"""Tokens from mails, by their hashes, and sign-ups that wait for theirs, in PostgreSQL."""

from datetime import datetime

from sqlalchemy import delete, func, insert, select

from domain.identity.addresses import comparable
from domain.identity.one_time import OneTimeToken, Purpose, SignUp, TokenDigest
from domain.ids import SignUpId, UserId
from persistence.connection import Connection
from persistence.rows import Row
from persistence.tables import one_time_tokens, sign_ups


class SqlOneTimeTokens:
    """The repository behind `domain.identity.one_time.OneTimeTokenRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, token: OneTimeToken) -> None:
        await self._connection.execute(
            insert(one_time_tokens).values(
                digest=token.digest,
                purpose=token.purpose.value,
                sign_up_id=token.sign_up_id,
                user_id=token.user_id,
                created_at=token.created_at,
                expires_at=token.expires_at,
            )
        )

    async def find(self, digest: TokenDigest, now: datetime) -> OneTimeToken | None:
        c = one_time_tokens.c
        statement = select(*c).where(c.digest == digest, c.expires_at > now)
        row = await self._connection.fetch_one(statement)
        return None if row is None else _token_of(row)

    async def take(self, digest: TokenDigest, now: datetime) -> OneTimeToken | None:
        c = one_time_tokens.c
        statement = delete(one_time_tokens).where(c.digest == digest, c.expires_at > now).returning(*c)
        row = await self._connection.fetch_one(statement)
        return None if row is None else _token_of(row)

    async def remove_of(self, user_id: UserId) -> None:
        await self._connection.execute(delete(one_time_tokens).where(one_time_tokens.c.user_id == user_id))

    async def add_sign_up(self, sign_up: SignUp) -> None:
        await self._connection.execute(
            insert(sign_ups).values(
                id=sign_up.id,
                email=sign_up.email,
                name=sign_up.name,
                password_hash=sign_up.password_hash,
                created_at=sign_up.created_at,
                expires_at=sign_up.expires_at,
            )
        )

    async def find_sign_up(self, sign_up_id: SignUpId) -> SignUp | None:
        statement = select(*sign_ups.c).where(sign_ups.c.id == sign_up_id)
        row = await self._connection.fetch_one(statement)
        return None if row is None else SignUp(**row)

    async def remove_sign_ups(self, email: str) -> None:
        statement = delete(sign_ups).where(func.lower(sign_ups.c.email) == comparable(email))
        await self._connection.execute(statement)

    async def prune(self, now: datetime, limit: int) -> int:
        removed = 0
        for table, key in ((one_time_tokens, one_time_tokens.c.digest), (sign_ups, sign_ups.c.id)):
            over = select(key).where(table.c.expires_at < now).limit(limit).with_for_update(skip_locked=True)
            removed += await self._connection.execute(delete(table).where(key.in_(over)))
        return removed


def _token_of(row: Row) -> OneTimeToken:
    return OneTimeToken(
        digest=TokenDigest(row["digest"]),
        purpose=Purpose(row["purpose"]),
        sign_up_id=None if row["sign_up_id"] is None else SignUpId(row["sign_up_id"]),
        user_id=None if row["user_id"] is None else UserId(row["user_id"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
