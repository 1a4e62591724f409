"""Identity providers: systems of others that vouch for people, and what is kept of those whom they have vouched for.

Somebody is known by issuer and subject, which a provider gives once and to nobody else (OpenID Connect Core 1.0, section 2). An
address is no name: it can be claimed without proof, and change hands.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from domain.access import Role, lesser
from domain.identity.users import User
from domain.ids import UserId

SUBJECT_LENGTH_MAX = 255
ISSUER_LENGTH_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """What a provider says of somebody in something that it has signed.

    `role` is None where the provider has no say in roles. `verified_email` is None unless the provider says that it has verified
    the address. `issued_at` is when it said so, to the second.
    """

    provider: str
    issuer: str
    subject: str
    role: Role | None
    verified_email: str | None = field(repr=False)
    name: str | None = field(repr=False)
    issued_at: datetime
    second_factor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a provider's subject is here. `granted_role` is the newest that the provider gave, by what it said at `granted_at`."""

    issuer: str
    subject: str
    user_id: UserId
    granted_role: Role | None
    granted_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VouchedHolder:
    """A user for whom a provider vouches, as both are now. `role` is the user's own."""

    user_id: UserId
    role: Role
    granted_role: Role | None
    granted_at: datetime

    def learns_from(self, vouched: Vouched) -> bool:
        """Whether the provider gives another role than it did, and later. What it said earlier stays true of earlier only."""
        return vouched.role not in {None, self.granted_role} and vouched.issued_at > self.granted_at

    def role_by(self, vouched: Vouched) -> Role:
        """What the user may be by this statement: what they are here, and never more than a statement that differs says."""
        if vouched.role is None or vouched.role == self.granted_role:
            return self.role
        return lesser(self.role, vouched.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPolicy:
    """What happens when a provider vouches for somebody for the first time."""

    creates_users: bool = True
    links_by_email: bool = False


class TokenVerifier(Protocol):
    """Access tokens of providers."""

    def knows(self, token: str) -> bool:
        """Whether a token says that it is of a provider whom we know, which is only good for choosing who is to verify it."""
        ...

    async def verify(self, token: str) -> Vouched:
        """What a token says that holds.

        Raises Unauthenticated for one that does not hold, and Unavailable where the provider has to be asked and does not answer.
        """
        ...


class IdentityDirectory(Protocol):
    """Where a request's subject is looked up, in one statement and each time, so that whatever changes counts at once."""

    async def holder_of(self, issuer: str, subject: str) -> VouchedHolder | None:
        """Who it is here; None for somebody unknown or disabled. Raises Unavailable."""
        ...


class IdentityRepository(Protocol):
    """Identities in a unit of work."""

    async def lock(self, issuer: str, subject: str) -> tuple[Identity, User] | None:
        """An identity and its user, whose row's lock holds both."""
        ...

    async def add(self, identity: Identity) -> bool:
        """Store an identity; False where there is one already."""
        ...

    async def grant(self, identity: Identity) -> None:
        """Write an identity's newest role."""
        ...
