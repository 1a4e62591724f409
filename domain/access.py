"""Who acts, and what they may see and do: one table of roles, in which capabilities are named (docs/access.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Forbidden
from domain.ids import NIL, ApiKeyId, UserId


class Role(StrEnum):
    """What a user is to the merchant."""

    CUSTOMER = "CUSTOMER"
    SUPPORT = "SUPPORT"
    ADMIN = "ADMIN"


class Capability(StrEnum):
    """Something that may be seen or done. Its value is its name in API keys, in docs and in refusals."""

    ATTEMPTS_READ = "attempts:read"
    ATTEMPTS_RESOLVE = "attempts:resolve"
    KEYS_MANAGE = "keys:manage"
    LEDGER_READ = "ledger:read"
    PAYMENTS_CAPTURE = "payments:capture"
    PAYMENTS_CREATE = "payments:create"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_REFUND = "payments:refund"
    RECONCILIATION_READ = "reconciliation:read"
    RECONCILIATION_RESOLVE = "reconciliation:resolve"
    REFUNDS_APPROVE = "refunds:approve"
    SCHEMA_READ = "schema:read"
    USERS_MANAGE = "users:manage"
    USERS_READ = "users:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_REAPPLY = "webhooks:reapply"


MEANINGS: Mapping[Capability, str] = {
    Capability.ATTEMPTS_READ: "See what was asked of the processor, how far it got, and the notes of colleagues about it.",
    Capability.ATTEMPTS_RESOLVE: "Decide about an attempt whose outcome nobody knows.",
    Capability.KEYS_MANAGE: "Create API keys of one's own; list and revoke everybody's.",
    Capability.LEDGER_READ: "See accounts, journal entries and the trial balance.",
    Capability.PAYMENTS_CAPTURE: "Capture and void authorized payments.",
    Capability.PAYMENTS_CREATE: "Pay.",
    Capability.PAYMENTS_READ: "See payments with their refunds, their disputes and what happened to them.",
    Capability.PAYMENTS_REFUND: "Give money back; customers only while CUSTOMERS_MAY_REFUND says so.",
    Capability.RECONCILIATION_READ: "See where the processor and Florin do not agree.",
    Capability.RECONCILIATION_RESOLVE: "Say that such a discrepancy is settled.",
    Capability.REFUNDS_APPROVE: "Approve or reject somebody else's refund that waits for it.",
    Capability.SCHEMA_READ: "Ask the API for its schema, where not everybody may.",
    Capability.USERS_MANAGE: "Change roles; disable users and enable them again.",
    Capability.USERS_READ: "See other people. Everybody sees themselves.",
    Capability.WEBHOOKS_READ: "See the inbox of webhook events.",
    Capability.WEBHOOKS_REAPPLY: "Apply a webhook event again that was put aside.",
}
"""What each capability allows, in the words of docs/access.md."""


FOR_PEOPLE_ALONE = frozenset({Capability.KEYS_MANAGE, Capability.REFUNDS_APPROVE, Capability.USERS_MANAGE})
"""What no API key can do: give rights to others, or itself another key; and a second pair of eyes is a person's."""

GRANTABLE = frozenset(Capability) - FOR_PEOPLE_ALONE
"""What an API key can be made for."""


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
NOTHING = Scope(owner=UserId(NIL))
"""The scope of whoever may see no such object, not even their own: nobody has the nil id, so nothing is theirs."""


class Reach(StrEnum):
    """Whose objects a role's capabilities are about."""

    OWN = "own"
    EVERYBODYS = "everybody's"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role may see and do, and with whose objects."""

    reach: Reach
    capabilities: frozenset[Capability]


_OF_CUSTOMERS = frozenset({Capability.PAYMENTS_CREATE, Capability.PAYMENTS_READ, Capability.PAYMENTS_REFUND})
_OF_SUPPORT = _OF_CUSTOMERS | {
    Capability.ATTEMPTS_READ,
    Capability.LEDGER_READ,
    Capability.PAYMENTS_CAPTURE,
    Capability.USERS_READ,
}

ROLES: Mapping[Role, Rights] = {
    Role.CUSTOMER: Rights(Reach.OWN, _OF_CUSTOMERS),
    Role.SUPPORT: Rights(Reach.EVERYBODYS, _OF_SUPPORT),
    Role.ADMIN: Rights(Reach.EVERYBODYS, frozenset(Capability)),
}
"""The table: what each role may see and do."""


def lesser(one: Role, other: Role) -> Role:
    """Of two roles the one that may do less. Each role may do all that the one below it may."""
    return one if ROLES[one].capabilities <= ROLES[other].capabilities else other


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """The API key by which an actor acts. What its scopes name of FOR_PEOPLE_ALONE counts for nothing."""

    id: ApiKeyId
    scopes: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated user behind a request: in person, or by an API key of theirs, which can do no more than they can."""

    user_id: UserId
    role: Role
    key: KeyInUse | None = None
    within: frozenset[Capability] | None = None

    @property
    def kind(self) -> ActorKind:
        return ActorKind.USER if self.key is None else ActorKind.API_KEY

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the role allows; of an API key, what is in its scopes too; and nothing but `within`, where that is told."""
        own = ROLES[self.role].capabilities
        if self.key is not None:
            own = own & self.key.scopes & GRANTABLE
        return own if self.within is None else own & self.within

    def may(self, capability: Capability) -> bool:
        return capability in self.capabilities

    def require(self, capability: Capability) -> None:
        """Raise Forbidden unless the actor has the capability."""
        if not self.may(capability):
            raise Forbidden(f"This takes the capability {capability}, which you do not have.")

    @property
    def reach(self) -> Scope:
        """Whose objects the actor's capabilities are about."""
        return EVERYTHING if ROLES[self.role].reach is Reach.EVERYBODYS else Scope(owner=self.user_id)

    def scope_of(self, capability: Capability) -> Scope:
        """What the actor sees of the objects that a capability lets see."""
        return self.reach if self.may(capability) else NOTHING

    @property
    def scope(self) -> Scope:
        """What the actor sees of payments and all that hangs on them."""
        return self.scope_of(Capability.PAYMENTS_READ)

    @property
    def people(self) -> Scope:
        """Which users the actor sees: at least themselves."""
        return self.reach if self.may(Capability.USERS_READ) else Scope(owner=self.user_id)
