"""From the Authorization header to the actor behind a request (RFC 6750)."""

from starlette.datastructures import Headers

from api.access_tokens import AccessTokens
from domain.access import EVERYTHING, Actor
from domain.errors import Unauthenticated
from domain.payments.queries import Reader


class Authentication:
    """Finds out who asks. The user is read each time, so that a changed role or a removed user counts at once."""

    def __init__(self, tokens: AccessTokens, reader: Reader) -> None:
        self._tokens = tokens
        self._reader = reader

    async def actor(self, headers: Headers) -> Actor | None:
        """The actor; None for a request without credentials. Raises Unauthenticated for credentials that do not hold."""
        values = headers.getlist("authorization")
        if not values:
            return None
        scheme, _, token = values[0].partition(" ")
        if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("Send one Authorization header: Bearer <token>.")
        user_id = self._tokens.verify(token.strip())
        user = (await self._reader.users_by_ids([user_id], EVERYTHING)).get(user_id)
        if user is None:
            raise Unauthenticated
        return Actor(user_id=user.id, role=user.role)
