"""The audits of graphql-http, the suite that the GraphQL over HTTP specification's own server list goes by."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypedDict

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.settings_group import Environment
from tests.api.application import running
from tests.support.npm import NODE, installed_in
from tests.support.serving import serving

HERE = Path(__file__).parent
AUDITS = 61
_DEADLINE_SECONDS = 120


class AuditResult(TypedDict):
    id: str
    name: str
    status: str
    reason: str | None


@pytest.fixture(scope="session")
def installed() -> Path:
    """The folder with the locked packages in it."""
    return installed_in(HERE)


@pytest.fixture(params=Environment)
async def url(request: pytest.FixtureRequest, engine: AsyncEngine) -> AsyncIterator[str]:
    """GraphiQL, which only development offers, must not get in a client's way. Some audits introspect, to have variables."""
    async with (
        running(engine, environment=request.param, introspection_in_production=True) as florin,
        serving(florin.app) as base_url,
    ):
        yield f"{base_url}/graphql"


async def test_every_audit_passes(installed: Path, url: str) -> None:
    results = await _audit(installed, url)
    assert len(results) == AUDITS
    failed = [f"{result['name']}: {result['reason']}" for result in results if result["status"] != "ok"]
    assert failed == [], "\n".join(failed)


async def _audit(folder: Path, url: str) -> list[AuditResult]:
    process = await asyncio.create_subprocess_exec(
        *(*NODE, "audit.mjs", url),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            # Node runs as a child of that Python.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode == 0
    results: list[AuditResult] = json.loads(output)
    return results
