"""An identity provider on a real port, and a server that trusts it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.application import Florin
from tests.api.providers.asking import trusting
from tests.support.issuer import Issuer, issuing


@dataclass(slots=True)
class Hand:
    """The hand of a clock, in seconds."""

    seconds: float = 1000.0


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as provider:
        yield provider


@pytest.fixture
def clock_of_providers(florin: Florin) -> Hand:
    """By which the age of what was fetched is told: it stands still until a test moves it."""
    hand = Hand()
    for provider in florin.parts.providers.all:
        provider._keys._now = provider._endpoints._now = lambda: hand.seconds
    return hand


@pytest.fixture
async def florin(engine: AsyncEngine, issuer: Issuer) -> AsyncIterator[Florin]:
    """A server that trusts the issuer, and lets its word give roles."""
    async with trusting(engine, issuer) as application:
        yield application
