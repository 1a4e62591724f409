"""Answers written at once: uvicorn writes head and body by a system call each, and looks at each header field by itself.

The ASGI specification has a server wait with the head for the first piece of the body. What is not a whole answer of a known
length, and whatever else is out of the ordinary, is left to uvicorn.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

# Any: uvicorn's types for messages are private to it, and hold values of many types.
Message: TypeAlias = Mapping[str, Any]


class WholeAnswers(RequestResponseCycle):
    """Uvicorn's way from a request to its answer, but for answers that the application sends as a whole."""

    _head: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None:
            whole = self._whole(head, message)
            if whole is not None:
                self._write(whole)
                return
            await super().send(head)  # type: ignore[arg-type]  # see Message
        await super().send(message)  # type: ignore[arg-type]  # see Message

    def _whole(self, head: Message, message: Message) -> bytes | None:
        """What goes over the wire; None where uvicorn has to look at it more closely."""
        body: bytes = message.get("body", b"")
        fields: list[tuple[bytes, bytes]] = [*self.default_headers, *head["headers"]]
        by_name = dict(fields)
        ordinary = (
            message["type"] == "http.response.body"
            and not message.get("more_body", False)
            and by_name.get(b"content-length") == str(len(body)).encode()
            and b"connection" not in by_name
            and b"transfer-encoding" not in by_name
            and self.scope["method"] != "HEAD"
            and self.keep_alive
            and not self.access_log
            and not self.disconnected
            and not self.flow.write_paused
            # No field can be broken in two, or end the head.
            and HEADER_RE.search(b"".join(by_name)) is None
            and HEADER_VALUE_RE.search(b"".join([value for _, value in fields])) is None
        )
        if not ordinary:
            return None
        lines = [b"%b: %b\r\n" % field for field in fields]
        return b"".join((STATUS_LINE[head["status"]], *lines, b"\r\n", body))

    def _write(self, whole: bytes) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(whole)
        self.response_complete = True
        self.message_event.set()
        self.on_response()
