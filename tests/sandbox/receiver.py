"""A merchant's webhook endpoint on a real port, which can be told how to answer."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.sandbox.driver import Json

# Generous, because the machine may be busy; no test waits this long when it passes.
DEADLINE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Delivery:
    body: bytes
    signature: str
    event: Json


@dataclass(slots=True)
class Receiver:
    """Answers with the scripted statuses, one for each delivery, then with 200."""

    url: str
    statuses: list[int] = field(default_factory=list)
    received: "asyncio.Queue[Delivery]" = field(default_factory=asyncio.Queue)

    async def handle(self, request: Request) -> Response:
        body = await request.body()
        status = self.statuses.pop(0) if self.statuses else 200
        event: Json = await request.json()
        self.received.put_nowait(Delivery(body, request.headers["Stripe-Signature"], event))
        return Response(status_code=status)

    async def next(self) -> Delivery:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.received.get()


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        receiver = Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}/hook")
        app = Starlette(routes=[Route("/hook", receiver.handle, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield receiver
        finally:
            server.should_exit = True
            await serving
