"""The sandbox as a program of its own, to be killed and started again."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.sandbox.driver import Driver
from tests.sandbox.receiver import DEADLINE_SECONDS

_PROGRAM = """
import sys
from pathlib import Path
from sandbox.server import SandboxConfig, run
run(SandboxConfig(port=0, state_path=Path(sys.argv[1])), lambda url: print(url, flush=True))
"""


@asynccontextmanager
async def running(state_path: Path) -> AsyncIterator[tuple[Process, Driver]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, str(state_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            url = (await process.stdout.readline()).decode().strip()
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE_SECONDS) as client:
            # The process has a machine of its own; this driver is only its client.
            yield process, Driver(client, machine=None)  # type: ignore[arg-type] # never touched here
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # Reads the pipe to its end, so that its transport is closed before the loop is.
        await process.communicate()
