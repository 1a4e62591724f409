"""What protects a request, and what it costs of it: CPU time within real requests to `florin serve`.

    .venv/bin/python -m benchmarks.protection [--rounds 8] [--seconds 1] [--json FILE]

Each part's functions are timed in the server while it answers (benchmarks/taken_apart.py), as a share of the whole process's CPU
time meanwhile: whatever else the machine does meets both. What that cannot see shows in the last rows, where the same server
answers with all of the parts left out, turn by turn with all of them on.
"""

import argparse
import asyncio
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import florin
from benchmarks.database import Database, Sizes, database, postgres
from benchmarks.load import LoadFailed, ask, press
from benchmarks.operations import florin_requests
from benchmarks.programs import Running
from benchmarks.taken_apart import AUTHENTICATION, AUTHORISATION, COST, GUARDS, LIMITS, SIGNATURE
from tests.support.issuer import AUDIENCE, issuing

CONNECTIONS = 16
QUERIES = ("Q1", "Q2")
TOGETHER = "all of these together"
# What is promised of all of them together, as a share of a request's CPU time.
SHARE_MAX = 0.10

_PARTS = {
    AUTHENTICATION: "authentication",
    AUTHORISATION: "authorisation",
    LIMITS: "rate limits",
    COST: "cost check",
    GUARDS: "guards",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and the credentials that it is asked with."""

    credential: str
    program: Running
    tokens: Sequence[str]


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU time for each request, in µs: of the server's process, of PostgreSQL, and of each part within the server's."""

    server: float
    postgres: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one part costs of one query's request, in µs of the server's process, and the share of it. `whole` is all of it."""

    query: str
    credential: str
    part: str
    server: float
    share: float
    whole: float


async def _get(server: Server, path: str) -> object:
    return await ask(server.program.url, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


async def _told(server: Server) -> dict[str, int]:
    answer = await _get(server, "/_spent")
    if not isinstance(answer, dict):
        raise LoadFailed(f"{server.credential}: {answer}")
    return answer


async def _spent(server: Server, data: Database, query: str, seconds: float, *, without: Sequence[str] = ()) -> Spent:
    await _get(server, f"/_without?parts={','.join(without)}")
    requests = florin_requests(query, data, lambda _: server.tokens, "")
    before, postgres_before = await _told(server), data.cpu()
    load = await press(server.program.url, requests, connections=CONNECTIONS, seconds=seconds)
    after = await _told(server)
    if load.errors:
        raise LoadFailed(f"{server.credential}: {load.first_error.decode(errors='replace')}")
    each = {part: (after[part] - before[part]) / load.answers / 1e3 for part in after}
    return Spent(each.pop("all"), (data.cpu() - postgres_before) / load.answers * 1e6, each)


async def measure(servers: Sequence[Server], data: Database, rounds: int, seconds: float) -> list[Cost]:
    """Every server's requests in turn, with all parts and without any."""
    on: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    off: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    for number in range(-1, rounds):
        print("warming up" if number < 0 else f"round {number + 1} of {rounds}", flush=True)
        for query in QUERIES:
            for server in servers:
                with_all = await _spent(server, data, query, seconds)
                without = await _spent(server, data, query, seconds, without=tuple(_PARTS))
                if number >= 0:
                    on[query, server.credential].append(with_all)
                    off[query, server.credential].append(without)
    return [
        cost
        for query in QUERIES
        for server in servers
        for cost in _costs(query, server.credential, on[query, server.credential], off[query, server.credential])
    ]


def _costs(query: str, credential: str, on: Sequence[Spent], off: Sequence[Spent]) -> list[Cost]:
    whole = statistics.median(each.server for each in on)

    def cost(part: str, of: Sequence[float]) -> Cost:
        share = statistics.median(part_of / each.server for part_of, each in zip(of, on, strict=True))
        return Cost(query, credential, part, statistics.median(of), share, whole)

    # Our own tokens' signatures: of API keys there are none, and a provider's token is verified elsewhere.
    signature = {SIGNATURE: "of which the token's signature"} if credential == "access token" else {}
    labels = {AUTHENTICATION: _PARTS[AUTHENTICATION]} | signature | _PARTS
    return [
        *(cost(label, [each.parts[part] for each in on]) for part, label in labels.items()),
        cost(TOGETHER, [sum(each.parts[part] for part in _PARTS) for each in on]),
        cost("the same, by leaving it out", [one.server - other.server for one, other in zip(on, off, strict=True)]),
    ]


def table(costs: Sequence[Cost]) -> str:
    """The costs as Markdown."""
    lines = ["| request | part | µs | share |", "|---|---|---|---|"]
    previous = ""
    for cost in costs:
        request = f"{cost.query} by {cost.credential}: {cost.whole:,.0f} µs"
        lines.append(
            f"| {'' if request == previous else request} | {cost.part} | {cost.server:,.0f} | {100 * cost.share:.1f}% |"
        )
        previous = request
    return "\n".join(lines)


async def run(rounds: int, seconds: float) -> list[Cost]:
    async with AsyncExitStack() as stack:
        data = await database(stack.enter_context(postgres()), Sizes())
        issuer = await stack.enter_async_context(issuing())
        processor = stack.enter_context(florin.sandbox()).url
        subjects = await florin.introduce(data, issuer.url, data.payers)
        print("starting Florin, in production and with an identity provider in development", flush=True)
        production = stack.enter_context(florin.serving("florin", data, processor, program="taken_apart"))
        changes = florin.providers(issuer.url, AUDIENCE)
        development = stack.enter_context(
            florin.serving("florin with a provider", data, processor, program="taken_apart", changes=changes)
        )
        servers = [
            Server("access token", production, florin.access_tokens(data.payers)),
            Server("API key", production, await florin.api_keys(data, data.payers)),
            Server("provider's token", development, [issuer.token(sub=subject) for subject in subjects]),
        ]
        return await measure(servers, data, rounds, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each server is asked at a time")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    costs = asyncio.run(run(options.rounds, options.seconds))
    print(table(costs))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    for cost in costs:
        if cost.part == TOGETHER and cost.share >= SHARE_MAX:
            share = 100 * cost.share
            print(f"{cost.query} by {cost.credential}: {share:.1f}% is more than the {100 * SHARE_MAX:.0f}% promised")


if __name__ == "__main__":
    main()
