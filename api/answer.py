"""An answer whose header fields are bytes from the start: Starlette's Response encodes each of them anew for each request."""

from dataclasses import dataclass
from typing import TypeAlias

from starlette.types import Receive, Scope, Send

HeaderFields: TypeAlias = list[tuple[bytes, bytes]]
"""Header fields as ASGI has them: names in lower case, values in Latin-1."""


@dataclass(slots=True)
class Answer:
    """A whole answer; called as an ASGI application, it sends itself."""

    status: int
    raw_headers: HeaderFields
    body: bytes

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})
