"""The connection under a request, for faults that no HTTP answer can express."""

import asyncio

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TRANSPORT = "sandbox.transport"


class ConnectionDropped(ConnectionError):
    """The sandbox has hung up on its client. Where no socket is between the two, this is what the client gets."""


class HttpConnection(HttpToolsProtocol):
    """Uvicorn's protocol, which lets the application reach the connection."""

    def connection_made(  # type: ignore[override]  # as uvicorn's own does: the transport is always one that writes
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        app = self.app

        async def reaching(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, _TRANSPORT: transport}, receive, send)

        self.app = reaching


async def drop(scope: Scope, receive: Receive) -> None:
    """Hang up, after what was sent so far. Raises ConnectionDropped where there is no connection to be closed."""
    transport: asyncio.Transport | None = scope.get(_TRANSPORT)
    if transport is None:
        raise ConnectionDropped
    transport.close()
    # Uvicorn would answer in our place if we returned before it knows.
    while (await receive())["type"] != "http.disconnect":
        pass
