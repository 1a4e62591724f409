"""Codes by which a frontend gets tokens for somebody who came back from an identity provider."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.identity.one_time import TokenDigest
from domain.ids import UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInCode:
    """A code as stored: by its hash, with the hash of the verifier that goes with it."""

    digest: TokenDigest
    user_id: UserId
    provider: str
    challenge: str
    second_factor: bool
    expires_at: datetime


class SignInCodeRepository(Protocol):
    """Codes in a unit of work."""

    async def add(self, code: SignInCode, now: datetime) -> None:
        """Store a code, and forget those that are over."""
        ...

    async def take(self, digest: TokenDigest, now: datetime) -> SignInCode | None:
        """Use a code up: of several at once one gets it, and the others None."""
        ...
