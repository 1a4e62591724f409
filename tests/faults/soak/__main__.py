"""Kills Florin's programs under load, and checks in the end what became of the money.

python -m tests.faults.soak --minutes 2
"""

import argparse
import asyncio
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from tests.faults.soak.shop import Shop
from tests.faults.soak.truth import Finding, findings, read, told_otherwise, unfinished
from tests.support.commands import florin
from tests.support.development import Development, data_folder, development

PROGRAMS = ("postgres", "serve", "worker", "sandbox")
_PROGRESS_SECONDS = 10.0
_REST_SECONDS_MAX = 300.0
_SHOWN_MAX = 20


async def _kill(
    running: Development, kills: Counter[str], *, seconds: float, pause: tuple[float, float], seed: int
) -> None:
    """Kill the programs in turn, each round in another order, at random moments, so many seconds apart."""
    chance = random.Random(seed)  # noqa: S311  moments need not be unguessable
    until = time.monotonic() + seconds
    while True:
        for name in chance.sample(PROGRAMS, len(PROGRAMS)):
            await asyncio.sleep(chance.uniform(*pause))
            if time.monotonic() > until:
                return
            try:
                await asyncio.to_thread(running.kill_program, name)
            except AssertionError:
                # It is still coming up after its last death.
                continue
            kills[name] += 1


async def _show_progress(shop: Shop, kills: Counter[str], started: float) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        answered = sum(wish.answered_at is not None for wish in shop.wishes)
        killed = ", ".join(f"{name} {kills[name]}" for name in PROGRAMS)
        _say(f"{time.monotonic() - started:5.0f} s  {answered} of {len(shop.wishes)} answered; killed: {killed}")


async def _come_to_rest(database_url: str) -> None:
    """Wait until nothing is open, for as long as recovery may take at most."""
    until = time.monotonic() + _REST_SECONDS_MAX
    while time.monotonic() < until:
        try:
            if not await unfinished(database_url):
                return
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            # It was killed a moment ago.
            pass
        await asyncio.sleep(0.5)


async def _soak(running: Development, arguments: argparse.Namespace) -> int:
    ready = running.ready
    kills: Counter[str] = Counter()
    shop = Shop(ready["graphql_url"], ready["tokens"], seed=arguments.seed)
    started = time.monotonic()
    progress = asyncio.create_task(_show_progress(shop, kills, started))
    async with shop:
        shopping = asyncio.create_task(shop.serve(arguments.shoppers))
        await _kill(running, kills, seconds=arguments.minutes * 60, pause=tuple(arguments.pause), seed=arguments.seed)
        shop.closing.set()
        await asyncio.wait_for(shopping, _REST_SECONDS_MAX)
    progress.cancel()
    _say("no more kills; waiting until nothing is open")
    await _come_to_rest(ready["database_url"])
    found = list(findings(await read(ready), shop.wishes))
    again = Shop(ready["graphql_url"], ready["tokens"], seed=arguments.seed)
    async with again:
        found += await told_otherwise(again, shop.wishes)
    found += _verified(ready["database_url"])
    _show(shop, kills, found)
    too_few = [name for name in PROGRAMS if kills[name] < arguments.kills_min]
    if too_few:
        _say(f"killed fewer than {arguments.kills_min} times: {', '.join(too_few)}")
    return int(bool(found or too_few))


def _verified(database_url: str) -> list[Finding]:
    """What Florin's own commands find in the audit log and the ledger."""
    found = []
    for kind in ("audit", "ledger"):
        done = florin(f"{kind} verify", {"DATABASE_URL": database_url})
        if done.returncode != 0:
            found.append(Finding(kind, f"{done.stdout}{done.stderr}".strip()))
    return found


def _show(shop: Shop, kills: Counter[str], found: Sequence[Finding]) -> None:
    kinds = Counter(finding.kind for finding in found)
    seconds = sorted(wish.seconds_to_resolve for wish in shop.wishes if wish.seconds_to_resolve is not None)
    acts = Counter(wish.act for wish in shop.wishes)
    table: list[tuple[str, object]] = [
        ("requests answered", len(shop.wishes)),
        *((f"of them {act}", number) for act, number in sorted(acts.items())),
        *((f"{name} killed", kills[name]) for name in PROGRAMS),
        ("requests that a kill struck", len(seconds)),
        *((f"{name}, seconds until resolved", f"{_quantile(seconds, part):.1f}") for name, part in _QUANTILES),
        ("double charges and refunds", kinds["doubled"]),
        ("lost payments and refunds", kinds["lost"]),
        ("sums that differ", kinds["sums"]),
        ("left pending", kinds["pending"]),
        ("audit log or ledger broken", kinds["audit"] + kinds["ledger"]),
    ]
    for name, figure in table:
        sys.stdout.write(f"{name:<32}{figure:>10}\n")
    for finding in found[:_SHOWN_MAX]:
        sys.stdout.write(f"{finding.kind}: {finding.text}\n")


_QUANTILES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


def _quantile(ordered: Sequence[float], part: float) -> float:
    """The nearest-rank quantile; 0 where there is nothing."""
    return ordered[math.ceil(part * len(ordered)) - 1] if ordered else 0.0


def _say(line: str) -> None:
    sys.stdout.write(f"soak: {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run it; 1 where something was lost, doubled, pending or not what it should be, or too little was killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long programs are killed")
    parser.add_argument(
        "--pause",
        type=float,
        nargs=2,
        # Fewer kills than `florin dev` takes for a program that cannot be helped.
        default=(2.0, 5.0),
        metavar=("MIN", "MAX"),
        help="seconds between two kills",
    )
    parser.add_argument("--shoppers", type=int, default=6, help="how many pay at the same time")
    parser.add_argument("--kills-min", type=int, default=2, help="how often each program must have been killed")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins")
    parser.add_argument("--data", type=Path, help="a folder to keep; a temporary one otherwise")
    arguments = parser.parse_args()
    if arguments.data is not None:
        with development(arguments.data, "--no-demo") as running:
            return asyncio.run(_soak(running, arguments))
    with data_folder() as data, development(data, "--no-demo") as running:
        return asyncio.run(_soak(running, arguments))


if __name__ == "__main__":
    sys.exit(main())
