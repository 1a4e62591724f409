"""Everybody side by side, in one run over one database, turn by turn; whoever's answers differ is not measured."""

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import florin
from benchmarks.contestants import CONTESTANTS, OPERATIONS, Contestant, prepare
from benchmarks.database import Database
from benchmarks.load import Load, LoadFailed, NextRequest, ask, press
from benchmarks.pgbench import press_postgres
from benchmarks.programs import NotStarted, Running

CONNECTIONS = 16
POSTGRES = "postgres"
# How many of each operation's answers are compared before anything is measured.
_COMPARED = 25


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds of one contestant's operation. Latencies are in ms, CPU times in µs for each request."""

    contestant: str
    operation: str
    per_second: float
    p50: float
    p99: float
    server_cpu: float
    postgres_cpu: float
    client_cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant's turn at one operation."""

    load: Load
    server_cpu: float
    postgres_cpu: float
    memory: int


class AnswersDiffer(Exception):
    """A contestant says something else than Florin; the message holds both."""


async def check(contestants: Sequence[tuple[Contestant, Running]], data: Database) -> None:
    """Compare everybody's answers to the same questions. Raises AnswersDiffer."""
    (florin_, florin_runs), *others = contestants
    for operation in ("Q1", "Q2"):
        expected = await _said(florin_, florin_runs, operation, data)
        for contestant, running in others:
            said = await _said(contestant, running, operation, data)
            if said and said != expected:
                raise AnswersDiffer(f"{contestant.title}, {operation}:\n{said[:2]}\nand Florin:\n{expected[:2]}")
    for contestant, running in contestants:
        requests = contestant.requests("M1", data, f"check-{time.time_ns()}")
        if requests is not None:
            [made] = _understood(contestant, "M1", await ask(running.url, requests()))
            if made[2] != "An order" or made[9:11] != (1000, "USD"):
                raise AnswersDiffer(f"{contestant.title}, M1: {made}")


async def _said(
    contestant: Contestant, running: Running, operation: str, data: Database
) -> list[list[tuple[object, ...]]]:
    requests = contestant.requests(operation, data, "")
    if requests is None:
        return []
    return [_understood(contestant, operation, await ask(running.url, requests())) for _ in range(_COMPARED)]


def _understood(contestant: Contestant, operation: str, answer: object) -> list[tuple[object, ...]]:
    if not isinstance(answer, dict) or answer.get("errors") or answer.get("data") is None:
        raise AnswersDiffer(f"{contestant.title}, {operation}: {answer}")
    return contestant.said(operation, answer)


async def compare(data: Database, *, only: Sequence[str], rounds: int, seconds: float) -> list[Figures]:
    """Measure all of them, or `only` some. Raises AnswersDiffer or LoadFailed; whoever does not start is left out, and told."""
    await prepare(data)
    with ExitStack() as stack:
        processor = stack.enter_context(florin.sandbox()).url
        running: list[tuple[Contestant, Running]] = []
        for contestant in CONTESTANTS:
            if only and contestant.key not in only:
                continue
            print(f"starting {contestant.title}", flush=True)
            try:
                running.append((contestant, stack.enter_context(contestant.start(data, processor))))
            except NotStarted as error:
                print(f"left out: {error}", flush=True)
        await check(running, data)
        print("all of them say the same", flush=True)
        turns: dict[tuple[str, str], list[Turn]] = defaultdict(list)
        # Some become fast only once their code is compiled, so that the first round does not count.
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}" if number else "warming up", flush=True)
            for operation in OPERATIONS:
                for key, turn in (await _round(running, data, operation, seconds, number)).items():
                    if number:
                        turns[key, operation].append(turn)
    return [_figures(key, operation, found) for (key, operation), found in turns.items()]


async def _round(
    running: Sequence[tuple[Contestant, Running]], data: Database, operation: str, seconds: float, number: int
) -> Mapping[str, Turn]:
    """Everybody's turn at an operation, beginning with another one each time."""
    found = {}
    shift = number % len(running)
    for contestant, program in (*running[shift:], *running[:shift]):
        requests = contestant.requests(operation, data, f"{number}-{time.time_ns()}")
        if requests is not None:
            found[contestant.key] = await turn_of(program, data, requests, seconds, CONNECTIONS)
    before = data.cpu()
    alone = press_postgres(data, operation, connections=CONNECTIONS, seconds=seconds)
    if alone is not None:
        found[POSTGRES] = Turn(alone, 0.0, (data.cpu() - before) / alone.answers * 1e6, 0)
    return found


async def turn_of(program: Running, data: Database, requests: NextRequest, seconds: float, connections: int) -> Turn:
    """Load one server for so long. Raises LoadFailed where it answers with an error."""
    before, postgres_before = program.cpu(), data.cpu()
    load = await press(program.url, requests, connections=connections, seconds=seconds)
    server, postgres = program.cpu() - before, data.cpu() - postgres_before
    if load.errors:
        raise LoadFailed(f"{program.name}: {load.first_error.decode(errors='replace')}")
    return Turn(load, server / load.answers * 1e6, postgres / load.answers * 1e6, program.memory())


def _figures(key: str, operation: str, turns: Sequence[Turn]) -> Figures:
    return Figures(
        key,
        operation,
        per_second=statistics.median(turn.load.per_second for turn in turns),
        p50=statistics.median(turn.load.percentile(0.50) * 1e3 for turn in turns),
        p99=statistics.median(turn.load.percentile(0.99) * 1e3 for turn in turns),
        server_cpu=statistics.median(turn.server_cpu for turn in turns),
        postgres_cpu=statistics.median(turn.postgres_cpu for turn in turns),
        client_cpu=statistics.median(turn.load.client_cpu / turn.load.answers * 1e6 for turn in turns),
        memory=max(turn.memory for turn in turns),
    )
