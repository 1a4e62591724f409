"""The application as every test here gets it: fresh, over an empty database and an empty sandbox."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.application import Florin, Person, Webhooks, delivering, running


@pytest.fixture
async def florin(engine: AsyncEngine) -> AsyncIterator[Florin]:
    async with running(engine) as application:
        yield application


@pytest.fixture
async def webhooks(florin: Florin) -> AsyncIterator[Webhooks]:
    async with delivering(florin) as sent:
        yield sent


@pytest.fixture
def ada(florin: Florin) -> Person:
    """A customer."""
    return florin.ada


@pytest.fixture
def alan(florin: Florin) -> Person:
    """Another customer."""
    return florin.alan


@pytest.fixture
def grace(florin: Florin) -> Person:
    """Somebody of the support."""
    return florin.grace
