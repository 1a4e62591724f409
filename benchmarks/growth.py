"""How Florin grows: with the size of a page and of the tables, connections and processes, and under mixed load."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from app.embedded_postgres import EmbeddedPostgres
from benchmarks import florin
from benchmarks.database import Database, Sizes, database
from benchmarks.load import Load, NextOfMany, NextRequest, in_turn, press, press_many
from benchmarks.operations import florin_q2, florin_requests
from benchmarks.programs import Running
from benchmarks.side_by_side import CONNECTIONS, turn_of

PAGE_SIZES = (1, 10, 25, 50, 100)
CONNECTION_NUMBERS = (1, 16, 100, 1000)
TABLE_TRANSACTIONS = (2_500, 25_000, 200_000)
TABLE_TRANSACTIONS_LARGE = (2_500_000,)
MIXED_CLIENTS = 200
# Of 20 requests: 80% pages, 15% single transactions, 5% payments.
_MIXTURE = ("Q2",) * 16 + ("Q1",) * 3 + ("M1",)


@dataclass(frozen=True, slots=True)
class Point:
    """One measured point: of what, at which size. Latencies are in ms, CPU times in µs for each request."""

    of: str
    size: int
    per_second: float
    p50: float
    p99: float
    server_cpu: float
    postgres_cpu: float


@dataclass(frozen=True, slots=True)
class Mixed:
    """What became of one kind of requests in the mixture."""

    operation: str
    answers: int
    errors: int
    p50: float
    p95: float
    p99: float


@dataclass(slots=True)
class Mixture:
    """The mixed load as a whole. Memory is in bytes, at the start and after each quarter."""

    clients: int
    seconds: float
    per_second: float
    operations: list[Mixed] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


async def grow(server: EmbeddedPostgres, data: Database, *, seconds: float, large: bool) -> list[Point]:
    """All points. The tables of `large` take some minutes to be made, and some gigabytes."""
    points: list[Point] = []
    with ExitStack() as stack:
        processor = stack.enter_context(florin.sandbox()).url
        one = stack.enter_context(florin.serving("florin", data, processor))
        tokens = florin.access_tokens(data.payers)
        await press(one.url, florin_requests("Q2", data, florin.access_tokens, ""), connections=CONNECTIONS, seconds=2)
        for size in PAGE_SIZES:
            requests = in_turn([florin_q2(token, size) for token in tokens])
            points.append(await _point("page size", size, one, data, requests, seconds, CONNECTIONS))
        for connections in CONNECTION_NUMBERS:
            requests = florin_requests("Q1", data, florin.access_tokens, "")
            points.append(await _point("connections", connections, one, data, requests, seconds, connections))
        two = stack.enter_context(florin.serving("florin-2", data, processor))
        points += [await _processes([one], data, seconds), await _processes([one, two], data, seconds)]
    for transactions in (*TABLE_TRANSACTIONS, *(TABLE_TRANSACTIONS_LARGE if large else ())):
        sized = await database(server, Sizes(transactions, users=min(10_000, transactions // 10)))
        with florin.sandbox() as sandbox, florin.serving("florin", sized, sandbox.url) as program:
            for operation in ("Q1", "Q2"):
                requests = florin_requests(operation, sized, florin.access_tokens, "")
                await press(program.url, requests, connections=CONNECTIONS, seconds=1)
                name = f"rows in the tables, {operation}"
                points.append(await _point(name, sized.sizes.rows, program, sized, requests, seconds, CONNECTIONS))
    return points


async def _point(
    of: str, size: int, program: Running, data: Database, requests: NextRequest, seconds: float, connections: int
) -> Point:
    turn = await turn_of(program, data, requests, seconds, connections)
    load = turn.load
    print(f"{of} {size:,}: {load.per_second:,.0f}/s, {turn.server_cpu:,.0f} µs", flush=True)
    p50, p99 = load.percentile(0.50) * 1e3, load.percentile(0.99) * 1e3
    return Point(of, size, load.per_second, p50, p99, turn.server_cpu, turn.postgres_cpu)


async def _processes(programs: Sequence[Running], data: Database, seconds: float) -> Point:
    """So many processes at once, each with its share of the connections."""
    loads = [Load() for _ in programs]
    requests = [florin_requests("Q2", data, florin.access_tokens, "") for _ in programs]
    before, postgres = sum(each.cpu() for each in programs), data.cpu()
    sources = [_source(each, load) for each, load in zip(requests, loads, strict=True)]
    async with asyncio.TaskGroup() as group:
        for program, source, load in zip(programs, sources, loads, strict=True):
            connections = CONNECTIONS // len(programs)
            group.create_task(press_many(program.url, source, [load], connections=connections, seconds=seconds))
    answers = sum(load.answers for load in loads)
    both = Load(
        seconds=max(load.seconds for load in loads), latencies=[each for load in loads for each in load.latencies]
    )
    server_cpu = (sum(each.cpu() for each in programs) - before) / answers * 1e6
    print(f"processes {len(programs)}: {both.per_second:,.0f}/s", flush=True)
    p50, p99 = both.percentile(0.50) * 1e3, both.percentile(0.99) * 1e3
    postgres_cpu = (data.cpu() - postgres) / answers * 1e6
    return Point("processes", len(programs), both.per_second, p50, p99, server_cpu, postgres_cpu)


def _source(requests: NextRequest, load: Load) -> NextOfMany:
    return lambda: (requests(), load)


async def mix(data: Database, *, seconds: float, clients: int = MIXED_CLIENTS) -> Mixture:
    """The mixture through the sandbox processor, a quarter of the time after another. Errors are counted, and no failure."""
    with florin.sandbox() as sandbox, florin.serving("florin", data, sandbox.url) as program:
        await press(program.url, florin_requests("Q2", data, florin.access_tokens, ""), connections=16, seconds=2)
        loads = {operation: Load() for operation in ("Q2", "Q1", "M1")}
        mixture = Mixture(clients, seconds, 0.0, memory=[program.memory()])
        took = 0.0
        for quarter in range(4):
            source = _mixed(data, loads, f"mixed-{time.time_ns()}", seed=quarter)
            await press_many(program.url, source, [*loads.values()], connections=clients, seconds=seconds / 4)
            took += loads["Q2"].seconds
            mixture.memory.append(program.memory())
            print(f"mixed: {quarter + 1} of 4, {mixture.memory[-1] / 1e6:,.0f} MB", flush=True)
    mixture.per_second = sum(load.answers for load in loads.values()) / took
    for operation, load in loads.items():
        p50, p95, p99 = (load.percentile(share) * 1e3 for share in (0.50, 0.95, 0.99))
        mixture.operations.append(Mixed(operation, load.answers, load.errors, p50, p95, p99))
        if load.errors:
            print(f"{operation}: {load.errors} errors, the first: {load.first_error[:300].decode(errors='replace')}")
    return mixture


def _mixed(data: Database, loads: dict[str, Load], run: str, *, seed: int) -> NextOfMany:
    """Requests in the shares of the mixture, in an order that is the same each time."""
    sources = {operation: florin_requests(operation, data, florin.access_tokens, run) for operation in loads}
    chooser = random.Random(seed)  # noqa: S311  nothing secret hangs on it

    def next_of_many() -> tuple[bytes, Load]:
        operation = chooser.choice(_MIXTURE)
        return sources[operation](), loads[operation]

    return next_of_many
