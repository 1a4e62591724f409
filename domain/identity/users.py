"""Users: who pays, and who works for the merchant."""

from dataclasses import dataclass
from datetime import datetime

from domain.access import Role
from domain.ids import UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as stored; `email` is unique, compared without regard to case."""

    id: UserId
    email: str
    name: str
    role: Role
    created_at: datetime
