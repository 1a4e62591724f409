"""StripeGateway over real sockets: a server that answers badly, on purpose, byte by byte."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
import stamina

from domain.payments.gateway import ChargeStatus, OutcomeUnknown
from gateways.stripe.gateway import StripeConfig, StripeGateway
from tests.contract.stripe_wire import SECRET_KEY, charged_intent

Answer: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]

BODY = json.dumps(charged_intent()).encode()
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


class Server:
    """Reads a request, lets the next answer write what it likes, and closes; a good answer keeps the connection."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self.connections = 0
        self.open_now = 0
        self.open_most = 0
        self.requests: list[bytes] = []
        self._answers = deque(answers)
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End the connections that are still open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self._handle(reader, writer)))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            while head := await _head(reader):
                self.requests.append(head)
                answer = self._answers.popleft() if self._answers else good
                await answer(writer)
                if answer is not good:
                    return
        except ConnectionError:
            return
        finally:
            self.open_now -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The headers of a request, its body read and left out; empty where the client has gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
    return head


async def good(writer: asyncio.StreamWriter) -> None:
    writer.write(GOOD)
    await writer.drain()


async def cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(GOOD[:-20])
    await writer.drain()


async def say_nothing(writer: asyncio.StreamWriter) -> None:
    """Closes without a word, as a server that is being restarted does."""


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.write(GOOD[:40])
    await writer.drain()
    writer.transport.abort()


async def speak_no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte at a time for ever: each one in time for any read timeout."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.001)


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def serving(
    *answers: Answer, deadline_seconds: float = 30.0, connections_max: int = 100
) -> AsyncIterator[tuple[StripeGateway, Server]]:
    server = Server(answers)
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    config = StripeConfig(
        secret_key=SECRET_KEY,
        api_base=f"http://127.0.0.1:{port}",
        deadline_seconds=deadline_seconds,
        connections_max=connections_max,
    )
    gateway = StripeGateway(config)
    try:
        yield gateway, server
    finally:
        await gateway.close()
        listening.close()
        await server.close()


@pytest.mark.parametrize("bad", [cut_off, say_nothing, reset, speak_no_http])
async def test_a_broken_answer_is_asked_for_again(bad: Answer) -> None:
    async with serving(bad, bad) as (gateway, server):
        report = await gateway.confirm_charge("pi_1", return_url=None, key="attempt:confirm")
    assert report.status is ChargeStatus.SUCCEEDED
    assert len(server.requests) == 3
    assert all(b"\r\nIdempotency-Key: attempt:confirm\r\n" in request for request in server.requests)


@pytest.mark.parametrize("bad", [cut_off, say_nothing, reset, speak_no_http])
async def test_an_answer_that_stays_broken_is_an_unknown_outcome(bad: Answer) -> None:
    async with serving(*[bad] * 4) as (gateway, server):
        with pytest.raises(OutcomeUnknown):
            await gateway.confirm_charge("pi_1", return_url=None, key="k")
    assert len(server.requests) == 4


@pytest.mark.parametrize("slow", [drip, hang])
async def test_a_server_that_never_finishes_meets_the_deadline(slow: Answer) -> None:
    async with serving(slow, deadline_seconds=0.2) as (gateway, server):
        with pytest.raises(OutcomeUnknown, match=r"within 0\.2 s"):
            async with asyncio.timeout(10):
                await gateway.confirm_charge("pi_1", return_url=None, key="k")
    assert len(server.requests) == 1


async def test_nobody_listening_is_an_unknown_outcome() -> None:
    async with serving() as (gateway, _):
        pass
    async with serving() as (other, _):
        assert (await other.look_up_charge("pi_1")).status is ChargeStatus.SUCCEEDED
    with pytest.raises(OutcomeUnknown):
        await gateway.look_up_charge("pi_1")


async def test_connections_are_kept_and_bounded() -> None:
    async with serving(connections_max=2) as (gateway, server):
        await asyncio.gather(*[gateway.look_up_charge("pi_1") for _ in range(10)])
    assert len(server.requests) == 10
    assert server.connections == server.open_most == 2


async def test_a_canceled_call_leaves_no_connection_behind() -> None:
    arrived = asyncio.Event()

    async def announce(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with serving(announce, connections_max=1) as (gateway, _):
        task = asyncio.ensure_future(gateway.confirm_charge("pi_1", return_url=None, key="k"))
        await asyncio.wait_for(arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The one connection that there may be is free again.
        assert (await gateway.look_up_charge("pi_1")).status is ChargeStatus.SUCCEEDED
