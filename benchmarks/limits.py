"""What the limits add to a request: the same application over real sockets, with and without them, turn by turn.

"With" is everything as `florin serve` has it. "Without" is a throttle that says yes at once, and uvicorn's stock protocol.
Guards and validation are in neither: a document is read once. The figures are CPU time of the process that serves and asks.
"""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import orjson

from api.server import create_application
from api.throttle import Throttle
from app.connections import ConnectionLimits, bounded_protocol
from app.embedded_postgres import EmbeddedPostgres
from app.log_lines import configure_logging
from app.settings import LogFormat
from app.wiring import services
from domain.access import Actor
from domain.limits import Taken
from persistence.engine import open_engine
from persistence.roles import ApplicationRole
from persistence.schema import migrate
from tests.api.application import running
from tests.support.database import patient_config
from tests.support.postgres import throwaway_folder
from tests.support.serving import serving

ROUNDS = 12
REQUESTS = 50
QUERIES = {
    "one object": "{ me { id name } }",
    "a page of 20": "{ transactions(first: 20) { nodes { id status money { amount currency } user { name } } } }",
}


class NoThrottle(Throttle):
    """Says yes at once."""

    async def request(self, address: str) -> Taken:
        return Taken(self.by_address, 1, 1.0, True)

    async def actor(self, actor: Actor) -> Taken:
        return Taken(self.by_actor, 1, 1.0, True)

    async def spend(self, key: str, cost: int) -> float:
        return 1.0

    async def spent(self, key: str, cost: int) -> float:
        return 1.0


class Asker:
    """A client on one connection that does as little as it can, so that the server is what is measured."""

    def __init__(self, url: str, query: str, token: str) -> None:
        self._port = urlsplit(url).port
        body = orjson.dumps({"query": query})
        self._request = (
            f"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def ask(self, times: int) -> float:
        """The CPU time of one request, in µs."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        begun = time.process_time()
        for _ in range(times):
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head.decode())
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        spent = time.process_time() - begun
        writer.close()
        return spent / times * 1e6


async def main() -> None:
    configure_logging(LogFormat.JSON, "ERROR")
    with EmbeddedPostgres(throwaway_folder(), throwaway=True) as postgres:
        owner = open_engine(patient_config(postgres.url))
        await migrate(owner, application=ApplicationRole(name=urlsplit(postgres.app_url).username or ""))
        await owner.dispose()
        engine = open_engine(patient_config(postgres.app_url))
        limits = ConnectionLimits(connections_max=1000, headers_seconds=10, body_seconds=20)
        async with AsyncExitStack() as stack:
            florin = await stack.enter_async_context(running(engine))
            for number in range(20):
                await florin.ada.paid(f"key-{number}")
            wired = services(florin.parts, None)
            throttle = wired.throttle
            free = NoThrottle(**{name: getattr(throttle, name) for name in Throttle.__dataclass_fields__})
            with_limits = await stack.enter_async_context(
                serving(create_application(wired), http=bounded_protocol(limits))
            )
            without = await stack.enter_async_context(serving(create_application(replace(wired, throttle=free))))
            for name, query in QUERIES.items():
                askers = [Asker(url, query, florin.ada.token or "") for url in (with_limits, without)]
                for asker in askers:
                    await asker.ask(REQUESTS)
                times = [[await asker.ask(REQUESTS) for asker in askers] for _ in range(ROUNDS)]
                most, least = (statistics.median(column) for column in zip(*times, strict=True))
                ratio = statistics.median(one / other for one, other in times)
                print(f"{name}: {most:.0f} µs with limits, {least:.0f} µs without: {100 * (ratio - 1):+.1f}%")
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
