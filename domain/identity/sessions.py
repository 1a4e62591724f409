"""Sessions: what a person's tokens belong to, so that they can be ended before they expire."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain.identity.one_time import TokenDigest
from domain.ids import SessionId, UserId


class SessionKind(StrEnum):
    """How a session began."""

    SIGN_IN = "SIGN_IN"
    COMMAND_LINE = "COMMAND_LINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as stored. `second_factor` tells whether whoever began it has proved more than a password.

    `client` is what the browser or program called itself, as far as it said; `last_used_at` when it last got new tokens.
    """

    id: SessionId
    user_id: UserId
    kind: SessionKind
    second_factor: bool
    client: str | None = None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimes:
    """How long a session lasts: so long after it was last used, and no longer than so long after it began."""

    idle: timedelta = timedelta(days=7)
    absolute: timedelta = timedelta(days=30)

    def end(self, began: datetime, now: datetime) -> datetime:
        return min(began + self.absolute, now + self.idle)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session with its refresh token, which nobody can be told again."""

    session: Session
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A refresh token that somebody showed: its session, locked, and when it was used before, if ever."""

    session: Session
    used_at: datetime | None


class SessionRepository(Protocol):
    """Sessions and their refresh tokens, of which each is used once and followed by the next."""

    async def add(self, session: Session) -> None: ...

    async def add_token(self, digest: TokenDigest, session_id: SessionId, at: datetime) -> None: ...

    async def present(self, digest: TokenDigest) -> PresentedToken | None:
        """Find a refresh token and lock its session: of two that show one token the second sees that it was used."""
        ...

    async def use_token(self, digest: TokenDigest, at: datetime) -> None:
        """Note that a refresh token was used."""
        ...

    async def extend(self, session_id: SessionId, now: datetime, expires_at: datetime) -> None:
        """Note that a session was used, and let it last until then."""
        ...

    async def revoke(self, session_id: SessionId, user_id: UserId, at: datetime) -> bool:
        """End a session of a user; False where there is none that is open."""
        ...

    async def revoke_all(self, user_id: UserId, at: datetime, *, but: SessionId | None = None) -> int:
        """End every session of a user, except one; how many that were open."""
        ...

    async def prune(self, over_before: datetime, limit: int) -> int:
        """Delete at most so many sessions that were over by then, and their refresh tokens; how many it were."""
        ...
