"""Each processor is started once for a test process, when the first test asks for it."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.backends import OPENERS, Backend


@pytest.fixture(scope="session", params=OPENERS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    async with OPENERS[request.param]() as opened:
        yield opened
