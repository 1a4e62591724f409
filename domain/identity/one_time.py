"""Texts that prove something to whoever holds them: refresh tokens, and the tokens in mails. Only their hashes are stored."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, Protocol

from domain.ids import SignUpId, UserId

TokenDigest = NewType("TokenDigest", bytes)

REFRESH_MARK = "florin_refresh_"
MAIL_MARK = "florin_mail_"
_LENGTH_MAX = 100


class Purpose(StrEnum):
    """What a token from a mail is for."""

    SIGN_UP = "SIGN_UP"
    VERIFY_EMAIL = "VERIFY_EMAIL"
    RESET_PASSWORD = "RESET_PASSWORD"  # noqa: S105  a purpose, and no password


LIFETIMES = {
    Purpose.SIGN_UP: timedelta(hours=24),
    Purpose.VERIFY_EMAIL: timedelta(hours=24),
    Purpose.RESET_PASSWORD: timedelta(hours=1),
}
"""For how long a token holds (OWASP, Forgot Password Cheat Sheet: for an appropriate period; NIST SP 800-63B: 24 h by mail)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeToken:
    """A token from a mail, as stored: by its hash. It is about a sign-up that waits, or about a user."""

    digest: TokenDigest
    purpose: Purpose
    sign_up_id: SignUpId | None = None
    user_id: UserId | None = None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """Somebody who would like to be a user, and has not proved yet that the address is theirs."""

    id: SignUpId
    email: str
    name: str
    password_hash: str
    created_at: datetime
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SignUp({self.id})"


def new_token(mark: str) -> str:
    """A fresh text of 256 random bits."""
    return mark + secrets.token_urlsafe(32)


def digest_of(token: str) -> TokenDigest:
    """What is stored of a token. A plain hash is enough: nobody can try 2 ** 256 of them."""
    return TokenDigest(hashlib.sha256(token.encode("utf-8", "replace")).digest())


def can_be_token(token: str, mark: str) -> bool:
    """Whether the text can be such a token; any other is refused without asking the database."""
    return token.startswith(mark) and len(token) <= _LENGTH_MAX and token.isascii()


class OneTimeTokenRepository(Protocol):
    """Tokens from mails, and the sign-ups that wait for theirs."""

    async def add(self, token: OneTimeToken) -> None: ...

    async def find(self, digest: TokenDigest, now: datetime) -> OneTimeToken | None:
        """A token that holds still, for reading only."""
        ...

    async def take(self, digest: TokenDigest, now: datetime) -> OneTimeToken | None:
        """Use a token up: of several at once one gets it, and the others None."""
        ...

    async def remove_of(self, user_id: UserId) -> None:
        """Remove every token of a user."""
        ...

    async def add_sign_up(self, sign_up: SignUp) -> None: ...

    async def find_sign_up(self, sign_up_id: SignUpId) -> SignUp | None: ...

    async def remove_sign_ups(self, email: str) -> None:
        """Remove every sign-up with an address, and with them their tokens."""
        ...

    async def prune(self, now: datetime, limit: int) -> int:
        """Delete at most so many tokens and sign-ups that are over; how many it were."""
        ...
