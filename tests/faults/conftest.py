"""A runner of cases for each xdist worker, on a database of its own, and the figures that it comes to."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
import uvloop

from tests.faults.figures import FOLDER_VARIABLE, Figures
from tests.faults.runner import Runner, open_runner
from tests.support.postgres import another_database


@pytest.fixture(scope="session")
def faults_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of its own, a fast one: runs wait for nothing but the database."""
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def runner(database_url: str, faults_loop: asyncio.AbstractEventLoop) -> Iterator[Runner]:
    """Runs cases, and checks the whole database in the end."""
    with _on_a_database(database_url, faults_loop) as runner:
        yield runner
        faults_loop.run_until_complete(runner.verify())


@pytest.fixture(scope="session")
def trial_runner(database_url: str, faults_loop: asyncio.AbstractEventLoop) -> Iterator[Runner]:
    """Runs broken designs, which leave a broken database behind."""
    with _on_a_database(database_url, faults_loop) as runner:
        yield runner


@contextmanager
def _on_a_database(database_url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Runner]:
    """A runner on a database of its own: other tests leave attempts open in theirs."""
    stack = AsyncExitStack()

    async def start() -> Runner:
        url = await stack.enter_async_context(another_database(database_url))
        return await stack.enter_async_context(open_runner(url))

    try:
        yield loop.run_until_complete(start())
    finally:
        loop.run_until_complete(stack.aclose())


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """What this worker has run; written down in the end where somebody wants to know (see `make faults`)."""
    figures = Figures()
    yield figures
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is not None:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        Path(folder).mkdir(parents=True, exist_ok=True)
        figures.write(Path(folder) / f"worker-{worker}.json")
