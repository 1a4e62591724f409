"""From the Authorization header to whoever is behind a request (RFC 6750)."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.access_tokens import AccessTokens
from domain.access import Actor, Role
from domain.errors import Unauthenticated
from domain.identity.authenticate_key import AuthenticateKey
from domain.identity.authenticate_vouched import AuthenticateVouched, VouchedCaller
from domain.identity.key_text import KEY_MARK
from domain.identity.queries import IdentityReader, SessionHolder
from domain.ids import SessionId
from domain.joined_lookups import JoinedLookups
from domain.ports import Clock


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and by which session of theirs; by none where it was by an API key or a provider's token."""

    actor: Actor
    session_id: SessionId | None


class Authentication:
    """Finds out who asks.

    User and session are read for each request, after it has come, so that a changed role, a disabled user and a revoked session
    count at once. Requests that come at the same time share the statement.
    """

    def __init__(
        self,
        tokens: AccessTokens,
        reader: IdentityReader,
        authenticate_key: AuthenticateKey,
        authenticate_vouched: AuthenticateVouched | None,
        clock: Clock,
        *,
        administrators_need_second_factor: bool = False,
    ) -> None:
        """`authenticate_vouched` is None where no identity provider's tokens are taken."""
        self._tokens = tokens
        self._authenticate_key = authenticate_key
        self._authenticate_vouched = authenticate_vouched
        self._holders = JoinedLookups[SessionId, SessionHolder](lambda ids: reader.holders_of(ids, clock.now()))
        self._administrators_need_second_factor = administrators_need_second_factor

    async def caller(self, headers: Mapping[str, str]) -> Caller | None:
        """The caller; None for a request without credentials. Raises Unauthenticated for credentials that do not hold."""
        value = headers.get("authorization")
        if value is None:
            return None
        scheme, _, text = value.partition(" ")
        token = text.strip()
        # Two fields, or two tokens, are joined by what no token holds.
        if scheme.lower() != "bearer" or not token or "," in token or " " in token:
            raise Unauthenticated("Send one Authorization header: Bearer <token>.")
        if token.startswith(KEY_MARK):
            return Caller(await self._authenticate_key(token), None)
        vouching = self._authenticate_vouched
        if vouching is not None and vouching.is_for(token):
            vouched = await vouching(token)
            return Caller(Actor(user_id=vouched.user_id, role=self._role_of(vouched)), None)
        claims = self._tokens.verify(token)
        holder = await self._holders.find(claims.session_id)
        if holder is None or holder.user_id != claims.user_id:
            raise Unauthenticated
        return Caller(Actor(user_id=holder.user_id, role=self._role_of(holder)), holder.session_id)

    def _role_of(self, holder: SessionHolder | VouchedCaller) -> Role:
        """What somebody may do: an administrator who has not proved the second factor can but set one up, as anybody can."""
        if self._administrators_need_second_factor and holder.role is Role.ADMIN and not holder.second_factor:
            return Role.CUSTOMER
        return holder.role
