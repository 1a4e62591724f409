"""What StripeGateway makes of what goes wrong: repeated where that is safe, and never a failure that nobody stated."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx2
import pytest
import stamina
import structlog

from domain.payments.gateway import (
    ChargeStatus,
    OutcomeUnknown,
    Unreadable,
)
from gateways.stripe.client import ANSWER_BYTES_MAX
from gateways.stripe.gateway import StripeConfig, StripeGateway
from tests.contract.stripe_wire import (
    SECRET_KEY,
    Reply,
    Wire,
    charged_intent,
    copy_of,
    decline,
    gateway_over,
    intent,
    ok,
    order,
    problem,
    raw,
    refund_order,
)

TRIES = 4


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    """Repetitions follow each other at once; as many as in production."""
    with stamina.set_testing(True, attempts=TRIES, cap=True):
        yield


async def _hang(request: httpx2.Request) -> httpx2.Response:
    await asyncio.Event().wait()
    raise AssertionError


UNKNOWN: dict[str, Reply] = {
    "refused connection": httpx2.ConnectError("no route"),
    "slow connection": httpx2.ConnectTimeout("slow"),
    "read timeout": httpx2.ReadTimeout("slow"),
    "reset": httpx2.ReadError("reset by peer"),
    "write error": httpx2.WriteError("broken pipe"),
    "closed early": httpx2.RemoteProtocolError("peer closed connection"),
    "pool exhausted": httpx2.PoolTimeout("no connection"),
    "key in use": problem(409, "idempotency_key_in_use", kind="idempotency_error"),
    "lock timeout": problem(429, "lock_timeout"),
    "lock timeout as 400": problem(400, "lock_timeout"),
    "rate limit": problem(429, "rate_limit"),
    "old rate limit": problem(400, "rate_limit"),
    "internal error": problem(500, kind="api_error"),
    "bad gateway page": raw(502, b"<html><h1>502 Bad Gateway</h1></html>"),
    "unavailable": raw(503, b""),
    "truncated JSON": raw(200, b'{"id": "pi_1", "status": "succ'),
    "HTML with 200": raw(200, b"<html>Welcome to the Wi-Fi</html>"),
    "empty 200": raw(200, b""),
    "no UTF-8": raw(200, b'{"id": "\xff"}'),
    "a list": ok([]),
    "a text": ok("succeeded"),
    "a number": ok(1),
    "null": ok(None),
    "nested too deep": raw(200, b"[" * 100_000),
    "too large": raw(200, b" " * (ANSWER_BYTES_MAX + 1)),
    "compressed": raw(200, b"", Content_Encoding="x-unknown"),
    "told to repeat": raw(424, b'{"error": {"type": "api_error"}}', Stripe_Should_Retry="true"),
}


@pytest.mark.parametrize("reply", UNKNOWN.values(), ids=UNKNOWN.keys())
async def test_an_unknown_outcome_is_repeated_under_the_same_key(reply: Reply) -> None:
    wire = Wire(copy_of(reply), copy_of(reply), copy_of(reply), ok(charged_intent()))
    report = await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="attempt:confirm")
    assert report.status is ChargeStatus.SUCCEEDED
    assert wire.keys == ["attempt:confirm"] * TRIES
    assert wire.paths == ["POST /v1/payment_intents/pi_1/confirm"] * TRIES


@pytest.mark.parametrize("reply", UNKNOWN.values(), ids=UNKNOWN.keys())
async def test_an_outcome_that_stays_unknown_is_no_failure(reply: Reply) -> None:
    wire = Wire(*[copy_of(reply) for _ in range(TRIES)])
    with pytest.raises(OutcomeUnknown):
        await gateway_over(wire).refund_charge(refund_order(), key="attempt:refund")
    assert wire.keys == ["attempt:refund"] * TRIES


NOT_REPEATED: dict[str, Reply] = {
    "told not to": raw(500, b'{"error": {"type": "api_error"}}', Stripe_Should_Retry="false"),
    "told not to, in use": raw(409, b'{"error": {"code": "idempotency_key_in_use"}}', Stripe_Should_Retry="false"),
    "wrong key": problem(401),
    "forbidden": problem(403),
    "key of another request": problem(400, kind="idempotency_error"),
    "a proxy's 404": raw(404, b"<html>not found</html>"),
    "unknown address": problem(404),
    "redirect": raw(302, b"", Location="https://elsewhere.test/"),
    "a 402 without an error": raw(402, b"{}"),
    "error of another shape": raw(400, b'{"error": "invalid_grant"}'),
    "error of yet another shape": raw(400, b'{"error": "nothing we know"}'),
    "error list": raw(400, b'{"error": []}'),
    "unknown type": problem(400, "new", kind="new_error"),
    "failed dependency": problem(424, "external"),
}


@pytest.mark.parametrize("reply", NOT_REPEATED.values(), ids=NOT_REPEATED.keys())
@pytest.mark.parametrize("method", ["create", "confirm", "refund", "cancel", "look_up"])
async def test_what_is_neither_definite_nor_worth_repeating_stays_unknown(reply: Reply, method: str) -> None:
    wire = Wire(copy_of(reply))
    gateway = gateway_over(wire)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: gateway.create_charge(order(), key="k"),
        "confirm": lambda: gateway.confirm_charge("pi_1", return_url=None, key="k"),
        "refund": lambda: gateway.refund_charge(refund_order(), key="k"),
        "cancel": lambda: gateway.cancel_charge("pi_1", key="k"),
        "look_up": lambda: gateway.look_up_charge("pi_1"),
    }
    with pytest.raises(OutcomeUnknown):
        await calls[method]()
    assert len(wire.requests) == 1


ODD_INTENTS: dict[str, dict[str, object]] = {
    "no id": {"id": None},
    "no status": {"status": None},
    "amount as text": {"amount": "1000"},
    "amount as truth": {"amount": True},
    "negative amount": {"amount": -1},
    "no currency": {"currency": None},
    "unknown currency": {"currency": "xxx"},
    "no livemode": {"livemode": None},
    "succeeded with no amount": {"amount_received": None},
}


@pytest.mark.parametrize("changes", ODD_INTENTS.values(), ids=ODD_INTENTS.keys())
async def test_an_object_without_its_fields_is_an_unknown_outcome(changes: dict[str, object]) -> None:
    wire = Wire(ok(intent() | changes))
    with pytest.raises(Unreadable):
        await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")


async def test_the_deadline_covers_all_tries() -> None:
    wire = Wire(httpx2.ReadTimeout("slow"), _hang)
    with pytest.raises(OutcomeUnknown, match=r"within 0\.05 s"):
        async with asyncio.timeout(10):
            await gateway_over(wire, deadline_seconds=0.05).confirm_charge("pi_1", return_url=None, key="k")
    assert len(wire.requests) == 2


async def test_a_body_that_never_ends_meets_the_deadline() -> None:
    async def drip() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    wire = Wire(httpx2.Response(200, content=drip()))
    with pytest.raises(OutcomeUnknown):
        async with asyncio.timeout(10):
            await gateway_over(wire, deadline_seconds=0.05).look_up_charge("pi_1")


async def test_a_body_without_end_is_not_collected() -> None:
    chunks = iter([b" " * 65536] * 100)

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    first = httpx2.Response(200, content=body(), headers={"Stripe-Should-Retry": "false"})
    with pytest.raises(OutcomeUnknown):
        await gateway_over(Wire(first, *[raw(503, b"")] * TRIES)).look_up_charge("pi_1")
    taken = 100 - len(list(chunks))
    assert taken == ANSWER_BYTES_MAX // 65536 + 1


async def test_a_canceled_task_is_canceled() -> None:
    entered = asyncio.Event()

    async def hang(request: httpx2.Request) -> httpx2.Response:
        entered.set()
        return await _hang(request)

    task = asyncio.ensure_future(gateway_over(Wire(hang)).confirm_charge("pi_1", return_url=None, key="k"))
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_mistake_in_the_code_is_logged_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise KeyError("mistake")

    monkeypatch.setattr("gateways.stripe.charges.charge_report", broken)
    with structlog.testing.capture_logs() as logs, pytest.raises(OutcomeUnknown):
        await gateway_over(Wire(ok(intent()))).look_up_charge("pi_1")
    assert [entry["log_level"] for entry in logs if entry["event"] == "processor_call_broken"] == ["error"]


# What is logged.


async def test_each_call_is_logged_once_without_secrets() -> None:
    wire = Wire(raw(503, b""), ok(intent("requires_action", next_action={"type": "use_stripe_sdk"})))
    with structlog.testing.capture_logs() as logs:
        await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")
    calls = [entry for entry in logs if entry["event"] == "processor_call"]
    assert len(calls) == 1
    assert calls[0]["endpoint"] == "payment_intents.confirm"
    assert (calls[0]["status"], calls[0]["tries"], calls[0]["request_id"]) == (200, 2, "req_1")
    assert calls[0]["duration_ms"] >= 0
    for secret in (SECRET_KEY, "pi_1_secret_of_the_payer", "4242"):
        assert secret not in repr(logs)


async def test_an_answer_that_cannot_be_read_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    torn = [raw(200, b'{"client_secret": "pi_1_secret_of_the_payer", "id') for _ in range(TRIES)]
    with structlog.testing.capture_logs() as logs, pytest.raises(OutcomeUnknown) as caught:
        await gateway_over(Wire(*torn)).confirm_charge("pi_1", return_url=None, key="k")
    seen = f"{logs} {caplog.text} {''.join(traceback.format_exception(caught.value))}"
    assert "secret_of_the_payer" not in seen
    assert SECRET_KEY not in seen


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_stripe_refuses_is_an_error_in_the_log(status: int) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(OutcomeUnknown):
        await gateway_over(Wire(problem(status))).create_charge(order(), key="k")
    assert [entry["log_level"] for entry in logs if entry["event"] == "processor_call"] == ["error"]


async def test_a_notice_from_stripe_does_not_hide_the_answer() -> None:
    wire = Wire(ok(charged_intent(), Stripe_Notice="Please upgrade."))
    assert (await gateway_over(wire).look_up_charge("pi_1")).status is ChargeStatus.SUCCEEDED


# Configuration.


def test_the_secret_key_is_not_printed() -> None:
    assert SECRET_KEY not in repr(StripeConfig(secret_key=SECRET_KEY))


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_key": ""},
        {"secret_key": "sk_test_1\nX-Injected: 1"},
        {"secret_key": "sk_test_ключ"},
        {"secret_key": "sk_live_1", "api_base": "http://127.0.0.1:12111"},
        {"api_base": "127.0.0.1:12111"},
        {"api_base": "https://"},
        {"api_base": "https://api.stripe.com/v1"},
        {"deadline_seconds": 0},
    ],
)
def test_a_configuration_that_cannot_be_right_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        StripeConfig(**{"secret_key": SECRET_KEY, **changes})  # type: ignore[arg-type]  # wrong on purpose


async def test_another_host_gets_every_request() -> None:
    wire = Wire(ok(charged_intent()))
    config = StripeConfig(secret_key=SECRET_KEY, api_base="http://127.0.0.1:12111/")
    gateway = StripeGateway(config, transport=wire.transport)
    await gateway.look_up_charge("pi_1")
    assert str(wire.requests[0].url).startswith("http://127.0.0.1:12111/v1/payment_intents/pi_1")
    await gateway.close()


async def test_every_request_names_the_program_and_the_version_of_the_api() -> None:
    wire = Wire(decline())
    await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")
    headers = wire.requests[0].headers
    assert headers["Stripe-Version"] == "2026-08-26.dahlia"
    assert " florin/" in headers["User-Agent"]
    assert headers["Authorization"] == f"Bearer {SECRET_KEY}"
    assert "X-Stripe-Client-Telemetry" not in headers
    assert headers["Accept-Encoding"] == "identity"
