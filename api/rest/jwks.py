"""GET /.well-known/jwks.json: the public keys of access tokens (RFC 7517), for services that verify them by themselves."""

from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.access_tokens import AccessTokens

MAX_AGE_SECONDS = 60
"""How long others may keep the answer. A new key is published for longer than that before it signs."""


@dataclass(frozen=True, slots=True)
class Jwks:
    """Answers with the keys as they are now."""

    tokens: AccessTokens

    async def __call__(self, _: Request) -> Response:
        return Response(
            orjson.dumps(self.tokens.published()),
            media_type="application/json",
            headers={"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}", "X-Content-Type-Options": "nosniff"},
        )
