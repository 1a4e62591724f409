"""What one GraphQL request carries: who asks, the loaders that batch its reads, and the acts that its mutations call."""

from dataclasses import dataclass, field
from typing import TypeAlias

from strawberry.types import Info as StrawberryInfo

from api.graphql.loaders import Loaders
from api.graphql.people import PeopleActs
from api.graphql.readers import Readers
from domain.access import Actor, Capability
from domain.errors import Forbidden, Unauthenticated
from domain.identity.administer_users import AdministerUsers
from domain.identity.create_api_key import CreateApiKey
from domain.identity.revoke_api_key import RevokeApiKey
from domain.ids import SessionId, UserId
from domain.messaging.reapply_webhook import ReapplyWebhook
from domain.payments.authorized import AuthorizedPayments
from domain.payments.create_payment import CreatePayment
from domain.payments.decide_refund import DecideRefund
from domain.payments.refund_payment import RefundPayment
from domain.payments.resolve_attempt import ResolveAttempt
from domain.reconciliation.resolve_discrepancy import ResolveDiscrepancy


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """The acts behind the mutations."""

    create_payment: CreatePayment
    refund_payment: RefundPayment
    decide_refund: DecideRefund
    authorized: AuthorizedPayments
    reapply_webhook: ReapplyWebhook
    resolve_discrepancy: ResolveDiscrepancy
    resolve_attempt: ResolveAttempt
    people: PeopleActs
    administer_users: AdministerUsers
    create_api_key: CreateApiKey
    revoke_api_key: RevokeApiKey


@dataclass(slots=True, kw_only=True)
class Context:
    """One request. `actor` is None for an anonymous one, `session_id` for one that no session is behind.

    `address` is where the request came from, and `client` what the program called itself. What the operation is comes to be
    known once its document has been read.
    """

    request_id: str
    acts: Acts
    readers: Readers
    actor: Actor | None
    session_id: SessionId | None = None
    address: str = ""
    client: str | None = None
    operation_name: str | None = None
    operation_kind: str | None = None
    _loaders: Loaders | None = field(default=None, init=False)

    def require_actor(self) -> Actor:
        """Raises Unauthenticated."""
        if self.actor is None:
            raise Unauthenticated("Send an access token: Authorization: Bearer <token>.")
        return self.actor

    def require_session(self) -> tuple[UserId, SessionId]:
        """Whose session the request came by, and which. Raises Unauthenticated; Forbidden for other credentials."""
        actor = self.require_actor()
        if self.session_id is None:
            raise Forbidden("This is done in person, by a session that began with signIn, and by no other credentials.")
        return actor.user_id, self.session_id

    def require(self, capability: Capability) -> Actor:
        """Raises Unauthenticated, or Forbidden for whoever has not the capability."""
        actor = self.require_actor()
        actor.require(capability)
        return actor

    def may(self, capability: Capability) -> bool:
        """Whether the asker may see what only some do. Raises Unauthenticated."""
        return self.require_actor().may(capability)

    @property
    def loaders(self) -> Loaders:
        """The request's loaders, inside its actor's scope. Raises Unauthenticated."""
        if self._loaders is None:
            self._loaders = Loaders(self.readers, self.require_actor(), self.acts.people.clock)
        return self._loaders

    def forget_loaded(self) -> None:
        """Drop what the loaders hold, because a mutation has changed it."""
        self._loaders = None


Info: TypeAlias = StrawberryInfo[Context, None]
