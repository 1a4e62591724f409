"""A real mail server, inside the test process, that answers as a test wants and keeps what it gets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope


# Without slots: aiosmtpd looks at every attribute, and before Python 3.11.3 a dataclass with slots has one that raises.
@dataclass
class Handler:
    """What the server got, and what it answers to a recipient and to a letter."""

    envelopes: list[Envelope] = field(default_factory=list)
    to_recipient: str = "250 OK"
    to_letter: str = "250 OK"

    # Any: aiosmtpd hands over its own server and session.
    async def handle_RCPT(self, _: Any, __: Any, envelope: Envelope, address: str, ___: Any) -> str:  # noqa: N802
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        self.envelopes.append(envelope)
        return self.to_letter


@asynccontextmanager
async def mail_server(
    handler: Handler,
    *,
    ssl_context: ssl.SSLContext | None = None,
    **options: Any,  # Any: aiosmtpd's own options
) -> AsyncIterator[int]:
    """A mail server on a free port, which is the value."""
    loop = asyncio.get_running_loop()
    transports: list[asyncio.BaseTransport] = []

    class Recorded(SMTP):
        """aiosmtpd leaves the connections that its client has dropped to the garbage collector."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            super().connection_made(transport)

    listening = await loop.create_server(
        lambda: Recorded(handler, hostname="mail.example", loop=loop, **options), "127.0.0.1", 0, ssl=ssl_context
    )
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for transport in transports:
            transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
