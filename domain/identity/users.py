"""Users: who pays, and who works for the merchant."""

from dataclasses import dataclass
from datetime import datetime

from domain.access import Role
from domain.ids import UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as stored; `email` is unique, compared without regard to case.

    A disabled user can neither sign in nor go on with what they have. Passwords are no part of the record, so that none of
    the many places that read users can show one.
    """

    id: UserId
    email: str
    name: str
    role: Role
    created_at: datetime
    email_verified_at: datetime | None = None
    disabled_at: datetime | None = None
