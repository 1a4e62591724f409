"""A server that trusts an identity provider, and what its tokens get from it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.application import Florin, running
from tests.support.database import rows
from tests.support.issuer import AUDIENCE, Issuer

ME = "{ me { email name role } }"


@asynccontextmanager
async def trusting(engine: AsyncEngine, issuer: Issuer, **settings: object) -> AsyncIterator[Florin]:
    provider = {
        "issuer": issuer.url,
        "audience": AUDIENCE,
        "role_claim": ["realm", "groups"],
        "roles": {"helpers": "SUPPORT", "chiefs": "ADMIN"},
        **settings,
    }
    if settings.get("roles", 1) is None:
        del provider["roles"], provider["role_claim"]
    async with running(engine, identity_providers=orjson.dumps({"corp": provider}).decode()) as florin:
        yield florin


async def ask(florin: Florin, token: str) -> tuple[int, str, Mapping[str, str]]:
    """The status, the error's code if any, and who it was."""
    response = await florin.anonymous.send(ME, Authorization=f"Bearer {token}")
    answer = response.json()
    if "errors" in answer:
        assert "data" not in answer
        return response.status_code, answer["errors"][0]["extensions"]["code"], {}
    return response.status_code, "", answer["data"]["me"]


async def known(florin: Florin) -> list[tuple[str, str, str]]:
    """Everybody whom a provider vouches for: subject, address and role."""
    found = await rows(
        florin.parts.engine, "SELECT i.subject, u.email, u.role FROM identities i JOIN users u ON u.id = i.user_id"
    )
    return [(str(subject), str(email), str(role)) for subject, email, role in found]
