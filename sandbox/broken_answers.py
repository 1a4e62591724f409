"""Answers as the network makes them: whole, or lost, cut off, mangled and slow on the way to the client."""

import asyncio
import math
from collections.abc import Mapping

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.connections import drop
from sandbox.execution import Result
from sandbox.faults import Fault, FaultKind

_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
_PAGES = {FaultKind.UNAVAILABLE: (503, "503 Service Temporarily Unavailable"), FaultKind.HTML_BODY: (200, "Welcome")}
_DROPPING = frozenset({FaultKind.DROP_REQUEST, FaultKind.DROP_RESPONSE})
_BREAKING = _DROPPING | {FaultKind.TRUNCATED_BODY, FaultKind.DRIP}
_DRIPS_A_SECOND = 10


def answer(result: Result, headers: Mapping[str, str]) -> Response:
    """The response that carries the result, with what its fault makes of it."""
    fault, body = result.fault, result.body
    if fault is not None and fault.kind in _BREAKING:
        return _Broken(result, headers, fault)
    if fault is not None and fault.kind in _PAGES:
        status, title = _PAGES[fault.kind]
        return HTMLResponse(_PAGE.format(title), status)
    if fault is not None and fault.kind is FaultKind.MALFORMED_JSON:
        body = body[: len(body) // 2]
    return Response(body, result.status, headers)


class _Broken(Response):
    """Lost altogether; its second half lost, although the head promises it; or slow."""

    def __init__(self, result: Result, headers: Mapping[str, str], fault: Fault) -> None:
        super().__init__(result.body, result.status, headers)
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._fault.kind not in _DROPPING:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_body(send)
        if self._fault.kind is not FaultKind.DRIP:
            await drop(scope, receive)

    async def _send_body(self, send: Send) -> None:
        body = bytes(self.body)
        if self._fault.kind is FaultKind.TRUNCATED_BODY:
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            return
        # No single read waits long, so that only a deadline over the whole call ends it early.
        drips = max(1, min(math.ceil(self._fault.seconds * _DRIPS_A_SECOND), len(body)))
        size = math.ceil(len(body) / drips)
        for start in range(0, len(body), size):
            await asyncio.sleep(self._fault.seconds / drips)
            await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
