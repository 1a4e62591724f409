"""What somebody proves with that they are a user. It is read by the acts that verify it, and shown by nobody."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from domain.identity.users import User
from domain.ids import UserId


@dataclass(frozen=True, slots=True)
class Credential:
    """A user with their password's hash; None where they have none, and cannot sign in with one."""

    user: User
    password_hash: str | None = field(repr=False)


class CredentialRepository(Protocol):
    """Passwords, apart from the users whose they are."""

    async def find_by_email(self, email: str) -> Credential | None:
        """For reading only."""
        ...

    async def find(self, user_id: UserId) -> Credential | None:
        """The same by the user's id."""
        ...

    async def lock(self, user_id: UserId) -> Credential | None:
        """The same under the lock of the user's row."""
        ...

    async def set_password(self, user_id: UserId, password_hash: str, at: datetime) -> None: ...
