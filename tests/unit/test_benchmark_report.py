"""What is made of the figures: one form for all answers, and a page that can be written whatever was measured."""

from typing import Any

import pytest

from benchmarks.contestants import transaction_said
from benchmarks.florin_statements import _EXECUTED, _PARAMETER, UnknownStatement, _role
from benchmarks.report import page, plot

_USER = {"id": "usr_018d0000000070008000000000000001", "name": "Ada", "email": "ada@example.com"}
_BY_FLORIN = {
    "id": "txn_018f0000000070008000000000000001",
    "status": "COMPLETED",
    "description": "Order 1",
    "captureMethod": "AUTOMATIC",
    "processor": "stripe",
    "processorReference": "pi_1",
    "processorStatus": "succeeded",
    "createdAt": "2026-01-01T00:00:01.001000Z",
    "updatedAt": "2026-01-01T00:00:03.000000Z",
    "amount": "501",
    "currency": "USD",
    "refunded": "0",
}
# As Node's driver hands on what PostgreSQL writes.
_BY_OTHERS = _BY_FLORIN | {
    "id": "018f0000-0000-7000-8000-000000000001",
    "createdAt": "2026-01-01 00:00:01.001+00",
    "updatedAt": "2026-01-01 00:00:03+00",
    "amount": 501,
}
_ENTRY = {"action": "transaction.created", "actorKind": "USER", "at": "2026-01-01T00:00:01.100000Z"}


def test_the_same_said_in_another_way_is_the_same() -> None:
    user = _USER | {"id": "018d0000-0000-7000-8000-000000000001"}
    entry = _ENTRY | {"at": "2026-01-01 00:00:01.1+00"}
    assert transaction_said(_BY_FLORIN, _USER, [_ENTRY]) == transaction_said(_BY_OTHERS, user, [entry])


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "502"},
        {"status": "FAILED"},
        {"createdAt": "2026-01-01T00:00:01.002000Z"},
        {"processorReference": None},
    ],
)
def test_something_else_is_not(change: dict[str, object]) -> None:
    assert transaction_said(_BY_FLORIN | change, _USER, []) != transaction_said(_BY_FLORIN, _USER, [])


def test_an_entry_that_is_missing_is_noticed() -> None:
    assert transaction_said(_BY_FLORIN, _USER, [_ENTRY]) != transaction_said(_BY_FLORIN, _USER, [])


def test_statements_are_read_from_the_log() -> None:
    log = (
        "2026-01-01 UTC [1] LOG:  execute s_1: SELECT users.id\n\tFROM users WHERE users.id = ANY ($1::UUID[])\n"
        "2026-01-01 UTC [1] DETAIL:  Parameters: $1 = '{018d}', $2 = '4'\n"
        "2026-01-01 UTC [1] LOG:  statement: COMMIT;\n"
    )
    [(text, parameters)] = _EXECUTED.findall(log)
    assert text == "SELECT users.id\n\tFROM users WHERE users.id = ANY ($1::UUID[])"
    assert _PARAMETER.findall(parameters) == ["{018d}", "4"]
    assert _role(text, "one") == "users"
    assert _role("SELECT sessions.id FROM sessions JOIN users", "one") is None


def test_a_statement_that_nobody_knows_is_not_passed_over() -> None:
    with pytest.raises(UnknownStatement):
        _role("SELECT refunds.id FROM refunds", "one")


def _figures(contestant: str, operation: str, cpu: float) -> dict[str, Any]:  # Any: figures of several types
    return {
        "contestant": contestant,
        "operation": operation,
        "per_second": 1234.5,
        "p50": 1.0,
        "p99": 2.0,
        "server_cpu": cpu,
        "postgres_cpu": 100.0,
        "client_cpu": 10.0,
        "memory": 50_000_000,
    }


_RESULTS: dict[str, Any] = {  # Any: as above
    "machine": {"date": "2026-01-01", "processor": "2 cores of X", "Python": "3.11", "Node": "24", "PostgreSQL": "18"},
    "side-by-side": [
        *(_figures("florin", operation, 1000.0) for operation in ("Q1", "Q2", "M1")),
        *(_figures("plain", operation, 250.0) for operation in ("Q1", "Q2", "M1")),
        _figures("postgres", "Q1", 0.0) | {"memory": 0},
    ],
}


def test_the_page_says_what_was_measured_and_what_was_not() -> None:
    written = page(_RESULTS)
    assert "| Florin, everything on | 1,000 + 100 µs; 1,234/s; 1.0, 2.0 ms |" in written
    assert "| no GraphQL: Starlette, asyncpg, orjson | 0.25 (0.32) | 0.25 (0.32) |  | 0.25 (0.32) |" in written
    assert written.count("Not measured in this run.") == 4
    assert "{" not in written.replace("{ __typename }", "")


def test_the_picture_shows_everybody_at_the_scale_of_the_slowest() -> None:
    drawn = plot(_RESULTS)
    assert drawn.count("Florin, everything on") == 2
    assert drawn.count('width="381.8"') == 2
    assert drawn.count('width="95.5"') == 2
