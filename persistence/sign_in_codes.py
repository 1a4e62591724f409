"""Codes of people who came back from a provider, by their hashes, in PostgreSQL."""

from datetime import datetime

from sqlalchemy import delete, insert

from domain.identity.one_time import TokenDigest
from domain.identity.sign_in_codes import SignInCode
from domain.ids import UserId
from persistence.connection import Connection
from persistence.tables import sign_in_codes

_C = sign_in_codes.c


class SqlSignInCodes:
    """The repository behind `domain.identity.sign_in_codes.SignInCodeRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, code: SignInCode, now: datetime) -> None:
        await self._connection.execute(delete(sign_in_codes).where(_C.expires_at <= now))
        await self._connection.execute(
            insert(sign_in_codes).values(
                digest=code.digest,
                user_id=code.user_id,
                provider=code.provider,
                challenge=code.challenge,
                second_factor=code.second_factor,
                expires_at=code.expires_at,
            )
        )

    async def take(self, digest: TokenDigest, now: datetime) -> SignInCode | None:
        statement = delete(sign_in_codes).where(_C.digest == digest, _C.expires_at > now).returning(*_C)
        row = await self._connection.fetch_one(statement)
        if row is None:
            return None
        return SignInCode(
            digest=TokenDigest(row["digest"]),
            user_id=UserId(row["user_id"]),
            provider=row["provider"],
            challenge=row["challenge"],
            second_factor=row["second_factor"],
            expires_at=row["expires_at"],
        )
