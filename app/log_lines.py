"""Logging: one structured line for each thing that happened, without anything that must not be written down."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

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


def redact(text: str) -> str:
    """The text without keys, tokens, passwords in URLs, and digits that look like a card number."""
    text = _SECRET.sub(_REDACTED, text)
    return _DIGITS.sub(lambda match: _REDACTED if looks_like_card_number(match[0]) else match[0], text)


def _redact_value(value: Any) -> Any:  # Any: log fields hold whatever the caller found worth telling
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(name)): _redact_value(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(child) for child in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _REDACTED if looks_like_card_number(str(value)) else value
    return redact(str(value))


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last step before writing: whatever an event holds by then, tracebacks included."""
    return {name: _redact_value(value) for name, value in event.items()}


def _json_line(event: MutableMapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(format_: LogFormat, level: str) -> None:
    """Send our own lines and those of every library the same way: to stderr, as JSON or for a terminal."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_json_line)
        if format_ is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
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
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
