"""`florin reconcile` as a process, over HTTP, on a week of payments with fifty planted differences: it finds those and no other.

FLORIN_RECONCILE_PAYMENTS says how many payments; `make reconcile-proof` takes 10,000.
"""

import asyncio
import base64
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.time_and_ids import SystemClock
from domain.reconciliation.discrepancies import DiscrepancyKind
from tests.reconciliation.world import PLANTED, WEEK, Expected, World
from tests.support.commands import FLORIN, clean
from tests.support.database import empty, rows

# Any: the command's own JSON.
Json: TypeAlias = dict[str, Any]

PAYMENTS = int(os.environ.get("FLORIN_RECONCILE_PAYMENTS", "300"))
KEY = "sk_test_sandbox"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> Json:
        document: Json = json.loads(self.stdout)
        return document


@dataclass(frozen=True, slots=True)
class Scene:
    """A sandbox that is served, a database, and what lies between them."""

    world: World
    engine: AsyncEngine
    environment: Mapping[str, str]

    @property
    def window(self) -> tuple[str, ...]:
        return "--from", self.world.start.isoformat(), "--to", self.world.end.isoformat()

    async def start(self, *options: str) -> Process:
        return await asyncio.create_subprocess_exec(
            FLORIN, "reconcile", *self.window, *options, env=clean(self.environment), stdout=PIPE, stderr=PIPE
        )

    async def reconcile(self, *options: str) -> Ended:
        process = await self.start("--json", *options)
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, stdout.decode(), stderr.decode())


@pytest.fixture
async def scene(engine: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with _scene(engine, database_url, tmp_path, under_way=False) as scene:
        yield scene


@pytest.fixture
async def scene_under_way(engine: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """One in which some payments are under way: each run waits two minutes for them."""
    async with _scene(engine, database_url, tmp_path, under_way=True) as scene:
        yield scene


@asynccontextmanager
async def _scene(engine: AsyncEngine, database_url: str, folder: Path, *, under_way: bool) -> AsyncIterator[Scene]:
    start = (SystemClock().now() - WEEK - timedelta(hours=1)).replace(microsecond=0)
    world = World(PAYMENTS, start=start, under_way=under_way)
    state = folder / "sandbox.db"
    began = time.monotonic()
    world.make_processors_side(state)
    made = time.monotonic()
    await world.make_our_side(engine)
    print(f"{PAYMENTS} payments: sandbox {made - began:.1f} s, database {time.monotonic() - made:.1f} s")  # noqa: T201
    async with sandbox(state) as url:
        environment = {
            "DATABASE_URL": database_url,
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_WEBHOOK_SECRET": "whsec_unused",
            "STRIPE_API_BASE": url,
            "AUTH_SIGNING_KEY": base64.b64encode(bytes(32)).decode(),
        }
        yield Scene(world, engine, environment)
    await empty(engine)


@asynccontextmanager
async def sandbox(state: Path) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        FLORIN, "sandbox", "--port", "0", "--state", str(state), env=clean({}), stdout=PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().split()[-1]
    finally:
        process.terminate()
        await process.communicate()


def found(ended: Ended) -> set[tuple[str, str]]:
    return {(each["kind"], each["processorReference"]) for each in ended.result["discrepancies"]}


def wanted(expected: list[Expected]) -> set[tuple[str, str]]:
    return {(each.kind.value, each.reference) for each in expected}


def test_fifty_differences_of_nearly_every_kind_are_planted() -> None:
    assert sum(times for times, _ in PLANTED.values()) == 50
    unplanted = {
        DiscrepancyKind.FOREIGN_CHARGE,
        DiscrepancyKind.DUPLICATE_REFUND,
        DiscrepancyKind.DISPUTE_MISSING_AT_PROCESSOR,
    }
    assert {kind for _, kind in PLANTED.values()} == set(DiscrepancyKind) - unplanted


async def test_exactly_what_was_planted_is_found_and_what_can_be_cured_is(scene: Scene) -> None:
    expected = scene.world.expected
    assert len(wanted(expected)) == 50
    dry = await scene.reconcile("--dry-run")
    assert (dry.code, found(dry)) == (1, wanted(expected)), dry.stderr
    assert await rows(scene.engine, "SELECT count(*) FROM discrepancies") == [(0,)]
    began = time.monotonic()
    run = await scene.reconcile()
    took = time.monotonic() - began
    assert (run.code, found(run)) == (1, wanted(expected)), run.stderr
    cured = {
        (each["kind"], each["processorReference"])
        for each in run.result["discrepancies"]
        if each["resolution"] == "CURED"
    }
    assert cured == wanted([each for each in expected if each.cured])
    left = [each for each in expected if not each.cured]
    assert run.result["open"] == len(left)
    # The third time in words for people.
    process = await scene.start()
    stdout, stderr = await process.communicate()
    assert process.returncode == 1, stderr.decode()
    said = stdout.decode()
    assert said.splitlines()[-1] == f"{len(left)} differences, 0 of them settled, {len(left)} open."
    assert [each.reference for each in left if each.reference not in said] == []
    assert await rows(scene.engine, "SELECT count(*) FROM discrepancies") == [(50,)]
    counts = run.result["counts"]
    print(f"{counts} in {took:.1f} s: {len(cured)} of 50 cured")  # noqa: T201


@pytest.mark.long
async def test_a_run_that_is_killed_goes_on_and_two_at_once_share_the_work(scene_under_way: Scene) -> None:
    scene = scene_under_way
    process = await scene.start()
    assert process.stderr is not None
    for _ in range(3):
        assert (await process.stderr.readline()).startswith(b"until ")
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert process.returncode == -signal.SIGKILL
    [(cursor,)] = await rows(scene.engine, "SELECT cursor FROM reconciliation_runs WHERE state = 'RUNNING'")
    first, second = await asyncio.gather(scene.reconcile(), scene.reconcile())
    for run in (first, second):
        assert run.code == 1, run.stderr
    # Whichever ended last has everything; the other may have found the run done before it had looked at it.
    assert found(first) | found(second) == wanted(scene.world.expected)
    assert await rows(scene.engine, "SELECT count(*), count(DISTINCT (kind, reference)) FROM discrepancies") == [
        (50, 50)
    ]
    runs = await rows(scene.engine, "SELECT state, cursor > :cursor, charges FROM reconciliation_runs", cursor=cursor)
    [(state, went_on, charges)] = runs
    assert (state, went_on) == ("DONE", True)
    assert charges == first.result["counts"]["charges"] == second.result["counts"]["charges"]
    assert sys.platform != "win32"
