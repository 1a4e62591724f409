from collections.abc import AsyncIterator

import pytest

from sandbox.server import SandboxConfig
from tests.sandbox.driver import Driver, driving


@pytest.fixture
async def sandbox() -> AsyncIterator[Driver]:
    async with driving(SandboxConfig()) as driver:
        yield driver
