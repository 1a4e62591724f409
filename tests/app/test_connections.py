"""Connections over real sockets: whoever draws a request out is let go, whoever does not is answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.connections import ConnectionLimits, bounded_protocol
from tests.support.raw_connections import connected, ended
from tests.support.serving import serving

HEAD = b"POST /echo HTTP/1.1\r\nHost: florin.example\r\n"
LARGE = 64 * 1024 * 1024
# Short for what a test waits for to happen; long for what must not happen meanwhile.
SHORT, LONG = 0.2, 3600.0


async def echo(request: Request) -> Response:
    try:
        return PlainTextResponse(await request.body())
    except ClientDisconnect:
        request.app.state.gone.set()
        return PlainTextResponse("")


async def large(_: Request) -> Response:
    return PlainTextResponse(b"x" * LARGE)


async def slow(request: Request) -> Response:
    await request.app.state.go_on.wait()
    return PlainTextResponse("done")


@asynccontextmanager
async def listening(
    *, headers: float = LONG, body: float = LONG, most: int = 1000
) -> AsyncIterator[tuple[Starlette, int]]:
    app = Starlette(
        routes=[Route("/echo", echo, methods=["GET", "POST"]), Route("/large", large), Route("/slow", slow)]
    )
    app.state.gone, app.state.go_on = asyncio.Event(), asyncio.Event()
    limits = ConnectionLimits(connections_max=most, headers_seconds=headers, body_seconds=body)
    async with serving(app, http=bounded_protocol(limits)) as url:
        yield app, int(url.rpartition(":")[2])


async def drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    """One byte after another, for ever, each before the one before it could have been waited for in vain."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(text)
            await writer.drain()
            await asyncio.sleep(SHORT / 10)


async def test_two_hundred_silent_connections_are_closed() -> None:
    async with listening(headers=SHORT) as (_, port), contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(connected(port)) for _ in range(200)]
        assert set(await asyncio.gather(*(ended(reader) for reader, _ in held))) == {b""}
        async with connected(port) as (reader, writer):
            writer.write(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi")
            assert (await ended(reader)).endswith(b"\r\n\r\nhi")


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"G"),
        (HEAD, b"X-A: b\r\n"),
        (HEAD + b"X-Long: ", b"a"),
        (HEAD + b"Content-Length: 1000000\r\n\r\n", b"a"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
    ids=["method", "headers", "a header", "body", "chunks"],
)
async def test_a_dripping_request_is_ended(start: bytes, piece: bytes) -> None:
    async with listening(headers=SHORT, body=SHORT) as (_, port), connected(port) as (reader, writer):
        writer.write(start)
        dripping = asyncio.create_task(drip(writer, piece))
        answer = await ended(reader)
        dripping.cancel()
    assert answer == b"" or answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))


async def test_the_endpoint_hears_that_a_body_never_came() -> None:
    async with listening(body=SHORT) as (app, port), connected(port) as (reader, writer):
        writer.write(HEAD + b"Content-Length: 10\r\n\r\nhalf")
        assert (await ended(reader)).startswith(b"HTTP/1.1 408 ")
        async with asyncio.timeout(60):
            await app.state.gone.wait()


async def test_the_next_request_of_a_connection_is_timed_too() -> None:
    async with listening(headers=SHORT) as (_, port), connected(port) as (reader, writer):
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nhi")
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(HEAD)
        assert (await ended(reader)).startswith(b"HTTP/1.1 408 ")


async def test_work_on_an_answer_is_not_timed() -> None:
    async with listening(headers=SHORT, body=SHORT) as (app, port), connected(port) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: florin.example\r\nConnection: close\r\n\r\n")
        async with connected(port) as (silent, _):
            # By the time the silent one is closed, this one would have been too.
            assert await ended(silent) == b""
        app.state.go_on.set()
        assert (await ended(reader)).endswith(b"\r\n\r\ndone")


async def test_an_answer_that_nobody_takes_is_cut_off() -> None:
    async with listening(body=SHORT) as (_, port), connected(port, limit=1024) as (reader, writer):
        writer.write(b"GET /large HTTP/1.1\r\nHost: florin.example\r\n\r\n")
        await reader.readline()
        async with connected(port) as (silent, other):
            other.write(HEAD + b"Content-Length: 10\r\n\r\nhalf")
            await ended(silent)
        assert len(await ended(reader)) < LARGE


async def test_there_are_never_more_connections_than_allowed() -> None:
    async with listening(most=3) as (_, port), contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            reader, writer = await stack.enter_async_context(connected(port))
            writer.write(HEAD + b"Content-Length: 2\r\n\r\nhi")
            await reader.readuntil(b"\r\n\r\nhi")
        async with connected(port) as (refused, _):
            assert await ended(refused) == b""
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nhi")
        await reader.readuntil(b"\r\n\r\nhi")


async def test_no_websocket_is_ever_opened() -> None:
    handshake = (
        b"GET /graphql HTTP/1.1\r\nHost: florin.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n"
    )
    async with listening() as (_, port):
        for origin in (b"", b"Origin: https://evil.example\r\n", b"Origin: null\r\n"):
            async with connected(port) as (reader, writer):
                writer.write(handshake + origin + b"\r\n")
                status = await reader.readline()
                assert b" 404 " in status
                assert b" 101 " not in status
