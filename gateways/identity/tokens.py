"""Access tokens of identity providers."""

import base64
from collections.abc import Iterable, Mapping

import orjson

from domain.errors import Unauthenticated
from domain.identity.providers import Vouched
from gateways.identity.provider import TOKEN_LENGTH_MAX, Provider


class ProviderTokens:
    """The port `domain.identity.providers.TokenVerifier`: every provider verifies what says that it is its own, and no other."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._by_issuer: Mapping[str, Provider] = {
            provider.config.issuer: provider for provider in providers if provider.config.audience is not None
        }

    def knows(self, token: str) -> bool:
        return _issuer_of(token) in self._by_issuer

    async def verify(self, token: str) -> Vouched:
        provider = self._by_issuer.get(_issuer_of(token))
        if provider is None:
            raise Unauthenticated
        return await provider.person_of_access_token(token)


def _issuer_of(token: str) -> str:
    """Whose token it says it is: only good for choosing whom to ask. Empty for what is no token."""
    parts = token.split(".", 3)
    if len(parts) != 3 or len(token) > TOKEN_LENGTH_MAX:
        return ""
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return ""
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else ""
