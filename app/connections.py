"""Connections that do not wait for ever: uvicorn's HTTP protocol with an end to everything that a client can draw out.

Uvicorn times only the pause between two requests. A client that connects and says nothing, sends its request byte by byte or
never reads the answer would hold its connection, and with a few hundred of them nobody else gets one (RFC 9110, section 15.5.9).
"""

import asyncio
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.whole_answers import WholeAnswers

_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """`connections_max` is for one process. The body's time is also that of an answer that the client does not take."""

    connections_max: int
    headers_seconds: float
    body_seconds: float


def bounded_protocol(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """The protocol for uvicorn's `http` setting, with these limits."""

    class Bounded(_BoundedProtocol):
        _limits = limits

    return Bounded


class _BoundedProtocol(HttpToolsProtocol):
    """One timer for each connection: for the head of a request, then for its body. None runs while we work on the answer."""

    _limits: ConnectionLimits
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _in_request = False
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        if len(self.connections) >= self._limits.connections_max:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._set_timer(self._limits.headers_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_timer()
        self._clear_stalled()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Most requests come in one piece: then there is nothing to wait for.
        if self._in_request and self._timer is None:
            self._set_timer(self._limits.body_seconds if self._in_body else self._limits.headers_seconds)

    def on_message_begin(self) -> None:
        self._in_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._clear_timer()
        self._in_body = True
        before = self.cycle
        super().on_headers_complete()
        # Uvicorn makes the cycle and asks nobody for its class. By now it has not begun: its task has still to run.
        if self.cycle is not before:
            self.cycle.__class__ = WholeAnswers

    def on_message_complete(self) -> None:
        self._clear_timer()
        self._in_request = self._in_body = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._clear_stalled()
        super().resume_writing()

    def _set_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._time_out)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _clear_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _time_out(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        # Uvicorn declares the latest request's cycle as if there always were one.
        cycle: RequestResponseCycle | None = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering and not self._in_body:
            # The head of the next request, sent ahead, can wait until this one is answered.
            self._set_timer(self._limits.headers_seconds)
            return
        # An answer that has begun is cut off; else the client is told, if it has said anything at all.
        if self._in_request and not (answering and cycle is not None and cycle.response_started):
            self.transport.write(_TIMED_OUT)
        self.transport.close()
