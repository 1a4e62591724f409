"""What is read of users and their sessions, outside of any decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.access import Actor, Role
from domain.identity.sessions import Session
from domain.identity.users import User
from domain.ids import SessionId, UserId
from domain.payments.queries import Page, PageRequest


@dataclass(frozen=True, slots=True)
class SessionHolder:
    """Whoever holds a session that counts, as they are now."""

    user_id: UserId
    role: Role
    session_id: SessionId
    second_factor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """Which users a list holds. `text` stands somewhere in the name or the address, in any case."""

    text: str | None = None
    roles: frozenset[Role] | None = None
    disabled: bool | None = None


ANY_USER = UserFilter()


class IdentityReader(Protocol):
    """Reads of users and sessions, each in one statement."""

    async def holders_of(self, session_ids: Sequence[SessionId], now: datetime) -> dict[SessionId, SessionHolder]:
        """Who holds each session. Those are missing that are over or revoked, and those of users who are disabled."""
        ...

    async def open_sessions_of(self, user_ids: Sequence[UserId], now: datetime) -> dict[UserId, list[Session]]:
        """The open sessions of users, the one that was used last first."""
        ...

    async def users(self, actor: Actor, where: UserFilter, page: PageRequest) -> Page[User]:
        """The users that the actor may see, the newest first."""
        ...

    async def count_users(self, actor: Actor, where: UserFilter) -> int: ...

    async def second_factors_of(self, user_ids: Sequence[UserId]) -> dict[UserId, int]:
        """Those of the users who have a confirmed second factor, each with 1."""
        ...
