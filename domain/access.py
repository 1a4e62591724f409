"""Who acts, and what they may see and do."""

from dataclasses import dataclass
from enum import StrEnum

from domain.ids import UserId


class Role(StrEnum):
    """What a user is to the merchant."""

    CUSTOMER = "CUSTOMER"
    SUPPORT = "SUPPORT"
    ADMIN = "ADMIN"


class ActorKind(StrEnum):
    """What kind of party did something, for the audit log."""

    USER = "USER"
    API_KEY = "API_KEY"
    PROCESSOR = "PROCESSOR"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose objects a query may see: one user's own, or everybody's where `owner` is None.

    It is a part of every read, so that no resolver can forget it.
    """

    owner: UserId | None

    def covers(self, user_id: UserId) -> bool:
        return self.owner is None or self.owner == user_id


EVERYTHING = Scope(owner=None)


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated user behind a request."""

    user_id: UserId
    role: Role

    @property
    def is_staff(self) -> bool:
        return self.role is not Role.CUSTOMER

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def scope(self) -> Scope:
        return EVERYTHING if self.is_staff else Scope(owner=self.user_id)
