"""What the program would write to its log, as it would write it."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from app.log_lines import configure_logging
from app.settings import LogFormat


class CapturedLogs:
    """The lines written so far."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:  # Any: a line holds whatever was worth telling
        return [json.loads(line) for line in self.text.splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:  # Any: as above
        return [line for line in self.lines if line["event"] == event]


@contextmanager
def captured_logs(level: str = "DEBUG") -> Iterator[CapturedLogs]:
    """Log as the program does, down to the last detail, into memory instead of to stderr."""
    root = logging.getLogger()
    handlers, root_level = root.handlers[:], root.level
    captured = CapturedLogs()
    try:
        configure_logging(LogFormat.JSON, level)
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(captured.stream)
        # A logger that keeps these processors would go on writing here when the block has ended.
        structlog.configure(cache_logger_on_first_use=False)
        yield captured
    finally:
        root.handlers[:] = handlers
        root.setLevel(root_level)
        structlog.reset_defaults()
