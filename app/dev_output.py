"""What the programs of `florin dev` print: all of it goes to a file, and what a person wants to see to the terminal."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TextIO

# Asked for by the page itself or by a probe: nobody who watches the terminal asked for them.
_UNTOLD_PATHS = ("/graphiql/assets/", "/healthz", "/readyz")
_SHOWN_APART = frozenset({"event", "exception", "level", "logger", "request_id", "timestamp"})


class DevOutput:
    """Takes the programs' lines. Nothing is shown until `show`, so that the welcome stays in one piece."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._shown = False

    def show(self) -> None:
        """From now on, show lines on the terminal."""
        self._shown = True

    def hide(self) -> None:
        """From now on, only keep lines: the programs are being stopped, and what they say of that is no news."""
        self._shown = False

    def write_line(self, name: str, line: str) -> None:
        """Take a line that the program `name` printed."""
        print(f"{name:<8} | {line}", file=self._file, flush=True)
        if self._shown and (text := for_the_terminal(name, line)) is not None:
            print(text, flush=True)


def for_the_terminal(name: str, line: str) -> str | None:
    """A program's line as people read it, or None for one that is not worth their while.

    A line that is no structured log line, such as the traceback of a program that cannot start, stays as it is.
    """
    try:
        event = json.loads(line)
        at = datetime.fromisoformat(event["timestamp"]).astimezone()
        told = _TOLD.get(event["event"], _other)(event)
    except (ValueError, TypeError, KeyError):
        return f"{name:<8} | {line}"
    return None if told is None else f"{name:<8} | {at:%H:%M:%S} {told}"


def _request(event: Mapping[str, object]) -> str | None:
    if str(event["path"]).startswith(_UNTOLD_PATHS):
        return None
    operation = f" {event['operation']}" if event["operation"] else ""
    return f"{event['method']} {event['path']}{operation}: {event['status']} in {event['duration_ms']:.0f} ms"


def _processor_call(event: Mapping[str, object]) -> str:
    outcome = " ".join(str(event[name]) for name in ("outcome", "status", "code") if event.get(name) is not None)
    tries = f", tries: {event['tries']}" if event["tries"] != 1 else ""
    return f"processor {event['endpoint']}: {outcome} in {event['duration_ms']:.0f} ms{tries}"


def _other(event: Mapping[str, object]) -> str:
    fields = "".join(f" {name}={value}" for name, value in event.items() if name not in _SHOWN_APART)
    level = "" if event["level"] == "info" else f"{event['level']}: "
    trace = f"\n{event['exception']}" if "exception" in event else ""
    return f"{level}{event['event']}{fields}{trace}"


_TOLD: Mapping[str, Callable[[Mapping[str, object]], str | None]] = {
    "request": _request,
    "processor_call": _processor_call,
}
