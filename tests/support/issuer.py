"""An identity provider on a real port, which does whatever a test wants: an honest one, a broken one, or an attacker's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.serving import serving

AUDIENCE = "https://florin.example/api"
RSA = generate_rsa(65537, 2048)
EC = generate_private_key(SECP256R1())
ED = Ed25519PrivateKey.generate()

Answer = Callable[[], Response]


def now() -> int:
    return int(datetime.now(UTC).timestamp())  # noqa: TID251  the server goes by the real time


def published(key_id: str = "rsa-1") -> dict[str, Any]:  # Any: a JWK's members are of any type
    return {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": key_id, "use": "sig", "alg": "RS256"}


@dataclass(slots=True)
class Issuer:
    """The provider's side. `asked` holds the path of every request that came; `wrong` answers instead, by path."""

    url: str = ""
    keys: list[Mapping[str, object]] = field(default_factory=lambda: [published()])
    asked: list[str] = field(default_factory=list)
    wrong: dict[str, Answer] = field(default_factory=dict)
    forms: list[Mapping[str, str]] = field(default_factory=list)
    discovery: dict[str, object] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def claims(self, **changes: object) -> dict[str, object]:
        """The claims of a customer's access token, for an hour. A change to None leaves the claim out."""
        claims: dict[str, object] = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "00u1",
            "iat": now(),
            "exp": now() + 3600,
            "email": "pat@corp.example",
            "email_verified": True,
            "name": "Pat",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, *, header: Mapping[str, object] | None = None, **changes: object) -> str:
        """An access token that holds, unless a change says otherwise."""
        return self.signed(self.claims(**changes), header)

    def signed(self, claims: Mapping[str, object], header: Mapping[str, object] | None = None) -> str:
        headers = {"typ": "at+jwt", "kid": "rsa-1", **(header or {})}
        return jwt.encode(dict(claims), RSA, algorithm="RS256", headers=headers)

    @property
    def key_fetches(self) -> int:
        return self.asked.count("/keys")

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        if request.method == "POST":
            self.forms.append(dict(parse_qsl((await request.body()).decode())))
        if self.gate is not None:
            await self.gate.wait()
        if path in self.wrong:
            return self.wrong[path]()
        if path == "/keys":
            return JSONResponse({"keys": self.keys})
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }
        return JSONResponse(document | self.discovery)

    def app(self) -> Starlette:
        paths = ("/.well-known/openid-configuration", "/keys")
        asked = [Route(path, self.answer) for path in paths]
        return Starlette(routes=[*asked, Route("/token", self.answer, methods=["POST"])])


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    async with serving(issuer.app()) as url:
        issuer.url = url
        try:
            yield issuer
        finally:
            issuer.over.set()


def ec_published(key_id: str) -> dict[str, Any]:  # Any: as above
    return {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": key_id}


def ed_published(key_id: str) -> dict[str, Any]:  # Any: as above
    return {**OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": key_id}
