"""Answers written at once are the very bytes that uvicorn would write."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.whole_answers import Message, WholeAnswers

DATE = (b"date", b"Tue, 24 Nov 2026 17:00:00 GMT")


class Recorded(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True


def start(*fields: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"x-a", b"b"), *fields]}


def body(text: bytes = b"hello", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": text, "more_body": more}


LENGTH = (b"content-length", b"5")
WHOLE = [start(LENGTH), body()]


async def told(cycle_class: type[RequestResponseCycle], messages: list[Message], **changes: Any) -> tuple[object, ...]:
    """What a cycle wrote, did and raised, and how many writes it took. Any: a cycle's parts are of many types."""
    transport, ended = Recorded(), [0]

    def end() -> None:
        ended[0] += 1

    logger = logging.getLogger("tests.whole_answers")
    made: dict[str, Any] = {  # Any: as above
        "scope": {"method": changes.pop("method", "POST")},
        "transport": transport,
        "flow": FlowControl(transport),
        "logger": logger,
        "access_logger": logger,
        "access_log": False,
        "default_headers": [DATE],
        "message_event": asyncio.Event(),
        "expect_100_continue": False,
        "keep_alive": True,
        "on_response": end,
        **changes,
    }
    cycle = cycle_class(**made)
    raised = None
    try:
        for message in messages:
            await cycle.send(message)  # type: ignore[arg-type]  # uvicorn's types for messages are private to it
    except RuntimeError as error:
        raised = str(error)
    complete = (cycle.response_started, cycle.response_complete, cycle.message_event.is_set())
    return b"".join(transport.written), transport.closed, ended[0], complete, raised, len(transport.written)


async def test_a_whole_answer_is_one_write() -> None:
    *expected, _ = await told(RequestResponseCycle, WHOLE)
    *found, writes = await told(WholeAnswers, WHOLE)
    assert found == expected
    assert writes == 1


@pytest.mark.parametrize(
    ("messages", "changes"),
    [
        (WHOLE, {"method": "HEAD"}),
        (WHOLE, {"keep_alive": False}),
        ([start(), body()], {}),
        ([start(), body(more=True), body(b""), body()], {}),
        ([start(LENGTH), body(b"hel", more=True), body(b"lo")], {}),
        ([start(LENGTH), body(more=True), body(b"")], {}),
        ([start(LENGTH, (b"connection", b"close")), body()], {}),
        ([start((b"transfer-encoding", b"chunked")), body()], {}),
        ([start(status=204), body(b"")], {}),
        ([start((b"set-cookie", b"a"), (b"set-cookie", b"b"), LENGTH), body()], {}),
    ],
    ids=[
        "HEAD",
        "last",
        "no length",
        "stream",
        "pieces",
        "an end of its own",
        "close",
        "chunked",
        "empty",
        "twice the same field",
    ],
)
async def test_everything_else_is_as_uvicorn_does_it(messages: list[Message], changes: dict[str, Any]) -> None:
    assert (await told(WholeAnswers, messages, **changes))[:5] == (
        await told(RequestResponseCycle, messages, **changes)
    )[:5]


async def test_whoever_does_not_read_is_sent_no_more() -> None:
    flow = FlowControl(Recorded())
    flow.pause_writing()
    telling = asyncio.ensure_future(told(WholeAnswers, WHOLE, flow=flow))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not telling.done()
    flow.resume_writing()
    assert (await telling)[:5] == (await told(RequestResponseCycle, WHOLE))[:5]


@pytest.mark.parametrize(
    "field",
    [(b"x-b", b"c\r\nset-cookie: d"), (b"x-b", b"c\n"), (b"x-b", b"\0"), (b"x-b\r\n", b"c"), (b"x:b", b"c")],
)
async def test_a_field_that_would_break_the_head_is_never_written(field: tuple[bytes, bytes]) -> None:
    written, *_, raised, _ = await told(WholeAnswers, [start(field, LENGTH), body()])
    assert written == b""
    assert str(raised).startswith("Invalid HTTP header")


async def test_a_body_longer_than_it_was_said_to_be_is_refused() -> None:
    written, *_, raised, _ = await told(WholeAnswers, [start(LENGTH), body(b"hello you")])
    assert b"you" not in str(written).encode()
    assert raised == "Response content longer than Content-Length"


async def test_an_answer_of_which_only_the_head_was_made_can_still_be_another() -> None:
    """What uvicorn sends for an application that failed in between."""
    written, *_ = await told(WholeAnswers, [start(LENGTH), start(LENGTH, status=500), body()])
    assert str(written).count("HTTP/1.1") == 1
    assert isinstance(written, bytes)
    assert written.startswith(b"HTTP/1.1 500 ")
