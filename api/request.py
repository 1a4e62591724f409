"""What is the same for every request: its id, its log line, and a body that is read only so far."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import problem_response
from domain.errors import InternalError, RequestError
from domain.ports import IdSource

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "X-Request-ID"
_REQUEST_ID_HEADER = REQUEST_ID_HEADER.lower().encode()
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}", re.ASCII)


class PayloadTooLarge(RequestError):
    """The request's body is larger than this address takes."""

    code = "PAYLOAD_TOO_LARGE"


@dataclass(slots=True)
class RequestRecord:
    """What the log line of a request tells beside its path and status; the endpoint fills in what it learns."""

    id: str
    actor: UUID | None = None
    operation: str | None = None
    kind: str = "other"


RequestObserver: TypeAlias = Callable[[str, int | None, float], None]
"""Is told of each request: its kind (query, mutation, webhook, other), its HTTP status if it got one, and its seconds."""


# Every answer carries these, unless its endpoint has said something of its own, as the page GraphiQL does.
_SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
# Two years, as https://hstspreload.org asks for. Browsers believe it only where they came by TLS (RFC 6797, section 8.1).
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class RequestLog:
    """Gives every request an id, one log line and its security headers, and answers for an endpoint that fails unanswered."""

    def __init__(self, app: ASGIApp, ids: IdSource, observe: RequestObserver, *, hsts: bool) -> None:
        self._security_headers = (*_SECURITY_HEADERS, _HSTS) if hsts else _SECURITY_HEADERS
        self._app = app
        self._ids = ids
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(self._request_id(scope))
        scope.setdefault("state", {})["record"] = record
        started = time.perf_counter()
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (_REQUEST_ID_HEADER, record.id.encode())]
                names = {name for name, _ in headers}
                headers += [header for header in self._security_headers if header[0] not in names]
                message["headers"] = headers
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=record.id)
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("request.failed")
            if status is None:
                await problem_response(InternalError(), record.id)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            self._observe(record.kind, status, seconds)
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round(seconds * 1000, 1),
                operation=record.operation,
                actor=record.actor,
            )

    def _request_id(self, scope: Scope) -> str:
        """The caller's own id, if it is one that can safely stand in logs and headers; else a fresh one."""
        for name, value in scope["headers"]:
            if name == _REQUEST_ID_HEADER and _SANE_REQUEST_ID.fullmatch(given := value.decode("latin-1")):
                return str(given)
        return self._ids.new().hex


def record_of(scope: Scope) -> RequestRecord:
    """The record that RequestLog made for this request."""
    record = scope["state"]["record"]
    if not isinstance(record, RequestRecord):
        raise TypeError("RequestLog does not stand around this application.")
    return record


async def read_body(headers: Mapping[str, str], receive: Receive, bytes_max: int) -> bytes:
    """The body, if it is at most `bytes_max` long. Raises PayloadTooLarge as soon as it is not, and ClientDisconnect."""
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > bytes_max:
        raise PayloadTooLarge(f"The body is larger than {bytes_max} bytes.")
    chunks: list[bytes] = []
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        length += len(chunk)
        if length > bytes_max:
            raise PayloadTooLarge(f"The body is larger than {bytes_max} bytes.")
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
