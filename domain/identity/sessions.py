"""Sessions: what a person's tokens belong to, so that they can be ended before they expire."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

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


class SessionRepository(Protocol):
    """Sessions."""

    async def add(self, session: Session) -> None: ...

    async def revoke(self, session_id: SessionId, user_id: UserId, at: datetime) -> bool:
        """End a session of a user; False where there is none that is open."""
        ...

    async def revoke_all(self, user_id: UserId, at: datetime, *, but: SessionId | None = None) -> int:
        """End every session of a user, except one; how many that were open."""
        ...
