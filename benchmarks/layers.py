"""Where a request's CPU time goes, by layers of the server: samples of what it does while it answers (benchmarks/sampled.py).

What a layer calls in C is its own, and what Python makes for it (a dataclass's functions). What the event loop does by itself,
such as to read a socket and to decode what PostgreSQL says, is told of the function that comes next.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import florin
from benchmarks.database import Database
from benchmarks.load import LoadFailed, ask, press
from benchmarks.operations import florin_requests
from benchmarks.side_by_side import CONNECTIONS

QUERIES: Final = ("Q1", "Q2", "Q3")

# The first that a file's path holds decides.
_LAYERS: Final = (
    ("api/graphql/compiled", "compiled plan"),
    ("<compiled GraphQL>", "compiled plan"),
    ("api/graphql/http", "endpoint: body, answer, its bookkeeping"),
    ("api/graphql/execution", "endpoint: body, answer, its bookkeeping"),
    ("api/graphql/documents", "endpoint: body, answer, its bookkeeping"),
    ("api/graphql/cost", "rate limits and cost"),
    ("api/throttle", "rate limits and cost"),
    ("gateways/counters", "rate limits and cost"),
    ("domain/limits", "rate limits and cost"),
    ("api/authentication", "who asks"),
    ("api/access_tokens", "who asks"),
    ("domain/identity", "who asks"),
    ("api/request", "request log and metrics"),
    ("app/log_lines", "request log and metrics"),
    ("app/metrics", "request log and metrics"),
    ("domain/text", "request log and metrics"),
    ("structlog", "request log and metrics"),
    ("prometheus_client", "request log and metrics"),
    ("api/graphql/", "types, resolvers and dataloaders"),
    ("domain/", "types, resolvers and dataloaders"),
    ("graphql/", "graphql-core and Strawberry, for root fields"),
    ("strawberry/", "graphql-core and Strawberry, for root fields"),
    ("persistence/", "reads"),
    ("sqlalchemy/", "reads"),
    ("asyncpg/", "reads"),
    ("uvicorn/", "HTTP: uvicorn, Starlette, guards of connections"),
    ("starlette/", "HTTP: uvicorn, Starlette, guards of connections"),
    ("app/connections", "HTTP: uvicorn, Starlette, guards of connections"),
    ("app/whole_answers", "HTTP: uvicorn, Starlette, guards of connections"),
    ("api/", "endpoint: body, answer, its bookkeeping"),
    ("asyncio/", "event loop, and what it reads by itself"),
    ("app/", "event loop, and what it reads by itself"),
)
_ANOTHER: Final = "everything else"
# Made at run time, or of use to several layers: on behalf of whoever calls it.
_ON_BEHALF: Final = ("<string>", "domain/joined_lookups", "orjson", "<frozen")


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer takes of a request, in µs of CPU time and as a share."""

    operation: str
    name: str
    microseconds: float
    share: float


async def take_apart(data: Database, *, seconds: float) -> list[Layer]:
    """The layers of each query, the largest first. Raises LoadFailed."""
    found: list[Layer] = []
    with florin.sandbox() as sandbox, florin.serving("florin-sampled", data, sandbox.url, program="sampled") as program:
        for operation in QUERIES:
            requests = florin_requests(operation, data, florin.access_tokens, "")
            await press(program.url, requests, connections=CONNECTIONS, seconds=2)
            await _samples(program.url)
            before = program.cpu()
            load = await press(program.url, requests, connections=CONNECTIONS, seconds=seconds)
            each = (program.cpu() - before) / load.answers * 1e6
            by_layer = Counter[str]()
            for seen, stack in await _samples(program.url):
                by_layer[_layer_of(stack)] += seen
            whole = by_layer.total()
            found += [Layer(operation, name, n / whole * each, n / whole) for name, n in by_layer.most_common()]
            print(f"layers of {operation}: {each:,.0f} µs, {whole:,} samples", flush=True)
    return found


async def _samples(url: str) -> list[tuple[int, list[str]]]:
    """How often each stack of files was seen since this was last asked."""
    told = await ask(url, b"GET /_samples HTTP/1.1\r\nHost: a\r\n\r\n")
    if not isinstance(told, list):
        raise LoadFailed(str(told))
    return [(seen, stack) for seen, *stack in told]


def _layer_of(stack: Sequence[str]) -> str:
    """The layer of the innermost function that is in one, but for those that work on behalf of others."""
    for file in stack:
        if any(part in file for part in _ON_BEHALF):
            continue
        for part, name in _LAYERS:
            if part in file:
                return name
    return _ANOTHER
