"""Logging: one structured line for each thing that happened, without anything that must not be written down."""

import logging
import re
import sys
from collections.abc import MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO
from uuid import UUID

import orjson
import structlog

from app.settings import LogFormat
from domain.text import looks_like_card_number

_SECRET = re.compile(
    r"(?:sk|rk|pk)_(?:test|live)_\w+|whsec_\w+|florin_(?:live|test)_\w+|florin_(?:refresh|mail)_[\w-]+|pi_\w+_secret_\w+|[Bb]earer\s+\S+"
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]+|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)
_DIGITS = re.compile(r"\d[\d -]{11,}\d")
_REDACTED = "[redacted]"
_CARD_NUMBER_MIN = 10**12


# The shortest that holds a secret is a URL: ://:x@
_LENGTH_MIN = 6


def redact(text: str) -> str:
    """The text without keys, tokens, passwords in URLs, and digits that look like a card number."""
    if len(text) < _LENGTH_MIN:
        return text
    # Every secret that the pattern finds holds one of these, and most texts none of them.
    if "_" in text or "earer" in text or "eyJ" in text or "://" in text:
        text = _SECRET.sub(_REDACTED, text)
    return text if _DIGITS.search(text) is None else _DIGITS.sub(_without_card_number, text)


def _without_card_number(match: re.Match[str]) -> str:
    return _REDACTED if looks_like_card_number(match[0]) else match[0]


def _redact_value(value: Any) -> Any:  # Any: log fields hold whatever the caller found worth telling
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(name)): _redact_value(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(child) for child in value]
    # True and False among them.
    if value is None or (isinstance(value, int) and -_CARD_NUMBER_MIN < value < _CARD_NUMBER_MIN):
        return value
    if isinstance(value, int | float):
        return _REDACTED if looks_like_card_number(str(value)) else value
    text = str(value)
    # An id of ours may hold many digits, and is no card's number.
    return text if isinstance(value, UUID) else redact(text)


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last step before writing: whatever an event holds by then, tracebacks included."""
    return {name: redact(value) if type(value) is str else _redact_value(value) for name, value in event.items()}


def _finished(logger: "_Lines", method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What `_STEPS` do for lines of others, for a line of ours: in one step, because there is one for each request."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, method, event)
    finished = _redact_event(logger, method, event)
    finished["level"] = method
    finished["logger"] = logger.name
    finished["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")  # noqa: TID251  the time of the line itself
    return finished


_STEPS: Final[Sequence[structlog.typing.Processor]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _redact_event,
)


class _Lines:
    """Our own logger at the end of structlog's chain: writes a line where the handler for all others writes its own.

    Past the standard library's records, which cost as much again as all else about a line.
    """

    def __init__(self, name: str, handler: "logging.StreamHandler[TextIO]") -> None:
        self.name = name
        self._handler = handler

    def write(self, line: str) -> None:
        handler = self._handler
        handler.acquire()
        try:
            handler.stream.write(f"{line}\n")
            handler.stream.flush()
        # A full disk or a closed pipe is no reason for a payment to fail.
        except (OSError, ValueError):
            pass
        finally:
            handler.release()

    debug = info = warning = error = critical = exception = write


def _json_line(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(format_: LogFormat, level: str) -> None:
    """Send our own lines and those of every library the same way: to stderr, as JSON or for a terminal."""
    renderer: structlog.typing.Processor = (
        _json_line if format_ is LogFormat.JSON else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_STEPS,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # These tell each connection or migration step; what they do is in our own lines.
    for name in ("uvicorn.error", "alembic", "httpx2", "httpcore2", "stripe"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _finished, renderer],
        logger_factory=lambda name="": _Lines(name, handler),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
