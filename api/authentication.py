"""From the Authorization header to the actor behind a request (RFC 6750)."""

from starlette.datastructures import Headers

from api.access_tokens import AccessTokens
from domain.access import EVERYTHING, Actor
from domain.errors import Unauthenticated
from domain.identity.authenticate_key import AuthenticateKey
from domain.identity.key_text import KEY_MARK
from domain.payments.queries import Reader


class Authentication:
    """Finds out who asks. The user is read each time, so that a changed role or a removed user counts at once."""

    def __init__(self, tokens: AccessTokens, reader: Reader, authenticate_key: AuthenticateKey) -> None:
        self._tokens = tokens
        self._authenticate_key = authenticate_key
        self._reader = reader

    async def actor(self, headers: Headers) -> Actor | None:
        """The actor; None for a request without credentials. Raises Unauthenticated for credentials that do not hold."""
        values = headers.getlist("authorization")
        if not values:
            return None
        scheme, _, text = values[0].partition(" ")
        token = text.strip()
        if len(values) > 1 or scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send one Authorization header: Bearer <token>.")
        if token.startswith(KEY_MARK):
            return await self._authenticate_key(token)
        user_id = self._tokens.verify(token)
        user = (await self._reader.users_by_ids([user_id], EVERYTHING)).get(user_id)
        if user is None:
            raise Unauthenticated
        return Actor(user_id=user.id, role=user.role)
