"""What the terminal shows of the programs' log lines."""

import io
import json

import pytest

from app.dev_output import DevOutput, for_the_terminal

AT = "2026-11-20T12:00:00.000000Z"
REQUEST = {
    "event": "request",
    "level": "info",
    "logger": "api.request",
    "timestamp": AT,
    "request_id": "01a",
    "method": "POST",
    "path": "/graphql",
    "status": 200,
    "duration_ms": 12.6,
    "operation": "Pay",
    "actor": None,
}
CALL = {
    "event": "processor_call",
    "level": "info",
    "logger": "gateways",
    "timestamp": AT,
    "request_id": "req_1",
    "endpoint": "payment_intents.create",
    "outcome": "answered",
    "status": 200,
    "tries": 1,
    "duration_ms": 7.4,
}
FAILURE = {
    "event": "request.failed",
    "level": "error",
    "logger": "api.request",
    "timestamp": AT,
    "request_id": "01a",
    "exception": "Traceback (most recent call last):\n  ...\nZeroDivisionError: division by zero",
}


def told(event: object) -> str | None:
    """The line without the time, which is the reader's own."""
    text = for_the_terminal("api", json.dumps(event))
    return None if text is None else text[:11] + text[20:]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (REQUEST, "api      | POST /graphql Pay: 200 in 13 ms"),
        (REQUEST | {"operation": None}, "api      | POST /graphql: 200 in 13 ms"),
        (CALL, "api      | processor payment_intents.create: answered 200 in 7 ms"),
        (
            CALL | {"outcome": "refused", "status": 402, "code": "card_declined", "tries": 2},
            "api      | processor payment_intents.create: refused 402 card_declined in 7 ms, tries: 2",
        ),
        (FAILURE, f"api      | error: request.failed\n{FAILURE['exception']}"),
        (
            {"event": "api.started", "level": "info", "timestamp": AT, "port": 8000},
            "api      | api.started port=8000",
        ),
    ],
)
def test_a_log_line_is_told_in_short(event: object, text: str) -> None:
    assert told(event) == text


@pytest.mark.parametrize("path", ["/readyz", "/healthz", "/graphiql/assets/index-XHEJ4AEI.js"])
def test_what_nobody_asked_for_is_not_told(path: str) -> None:
    assert told(REQUEST | {"path": path}) is None


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "[1]", "5", '{"event": "request"}', ""])
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert for_the_terminal("api", line) == f"api      | {line}"


def test_every_line_is_kept_and_shown_only_in_between(capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    output = DevOutput(file)
    output.write_line("api", "before")
    output.show()
    output.write_line("api", "while it runs")
    output.hide()
    output.write_line("api", "after")
    assert file.getvalue() == "api      | before\napi      | while it runs\napi      | after\n"
    assert capsys.readouterr().out == "api      | while it runs\n"
