"""The client: as many connections as asked for, each of which sends its next request as soon as it has its answer."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

# What every answer holds that is an error, with GraphQL or without; a payload's `errors` is an empty list where all is well.
_ERRORS = b'"errors":[{'
# How long the last answers may take once no more is asked.
_ANSWER_SECONDS_MAX = 60.0
_LAST_CHUNK = b"0\r\n\r\n"

NextRequest = Callable[[], bytes]


@dataclass(slots=True)
class Load:
    """What came of a piece of load. Times are in seconds; `latencies` is one for each answer, errors included."""

    seconds: float = 0.0
    client_cpu: float = 0.0
    errors: int = 0
    latencies: list[float] = field(default_factory=list)
    first_error: bytes = b""

    @property
    def answers(self) -> int:
        return len(self.latencies)

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds

    def percentile(self, share: float) -> float:
        """The time in which so large a share of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def note(self, latency: float, answer: bytes) -> None:
        self.latencies.append(latency)
        if not answer.startswith(b"HTTP/1.1 200") or _ERRORS in answer:
            self.errors += 1
            self.first_error = self.first_error or answer[:2_000]


NextOfMany = Callable[[], tuple[bytes, Load]]
"""The next request, and where its answer is noted: of several kinds of requests each has a place of its own."""


class LoadFailed(Exception):
    """A server closed a connection, or answered with an error; the message holds what it said."""


class _Connection(asyncio.Protocol):
    """Does as little as it can for each answer, so that it can keep a fast server busy."""

    def __init__(self, next_of_many: NextOfMany, until: float) -> None:
        self._next_of_many = next_of_many
        self._until = until
        self._sent_at = 0.0
        self._answer = b""
        self._complete_at = -1
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP it is one
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(LoadFailed(f"The server closed a connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data if self._answer else data
        if self._complete_at < 0:
            self._complete_at = _length_of(answer)
        chunked = self._complete_at == 0
        if answer.endswith(_LAST_CHUNK) if chunked else 0 < self._complete_at <= len(answer):
            now = time.perf_counter()
            self._load.note(now - self._sent_at, answer)
            if now < self._until:
                self._send()
            elif not self.done.done():
                self.done.set_result(None)
                self._transport.close()

    def _send(self) -> None:
        self._answer, self._complete_at = b"", -1
        request, self._load = self._next_of_many()
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def _length_of(answer: bytes) -> int:
    """How long an answer is with its head; 0 for one in chunks; -1 where it cannot be told yet."""
    head_end = answer.find(b"\r\n\r\n")
    if head_end < 0:
        return -1
    head = answer[:head_end].lower()
    place = head.find(b"\r\ncontent-length:")
    if place < 0:
        return 0
    return head_end + 4 + int(head[place + 17 :].split(b"\r\n", 1)[0])


async def press(url: str, next_request: NextRequest, *, connections: int, seconds: float) -> Load:
    """Load the server for so long, then wait for the last answers. Raises LoadFailed where it closes a connection."""
    load = Load()
    await press_many(url, lambda: (next_request(), load), [load], connections=connections, seconds=seconds)
    return load


async def press_many(
    url: str, next_of_many: NextOfMany, loads: Sequence[Load], *, connections: int, seconds: float
) -> None:
    """The same with several kinds of requests; the client's CPU time is that for all of them."""
    loop, port = asyncio.get_running_loop(), urlsplit(url).port or 80
    begun, cpu = time.perf_counter(), time.process_time()
    opened = [
        await loop.create_connection(lambda: _Connection(next_of_many, begun + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + _ANSWER_SECONDS_MAX):
        await asyncio.gather(*(protocol.done for _, protocol in opened))
    for load in loads:
        load.seconds, load.client_cpu = time.perf_counter() - begun, time.process_time() - cpu


async def ask(url: str, request: bytes) -> object:
    """The body of the answer to one request, which is JSON or text. Raises LoadFailed for any status but 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _length_of(head)
    if length > 0:
        body = await reader.readexactly(length - len(head))
    else:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
    writer.close()
    if not head.startswith(b"HTTP/1.1 200"):
        raise LoadFailed((head + body).decode(errors="replace"))
    answer: object = orjson.loads(body) if b"json" in head.lower() else body.decode()
    return answer


def request(path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> bytes:
    """A POST request with a JSON body."""
    content = orjson.dumps(body)
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "Accept: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def in_turn(requests: list[bytes]) -> NextRequest:
    """The requests one after another, from the start again at the end."""

    def endless() -> Iterator[bytes]:
        while True:
            yield from requests

    return endless().__next__
