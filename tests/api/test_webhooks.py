"""POST /webhooks/stripe: what Stripe signed for us lately is kept once; anything else leaves nothing behind."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.application import WEBHOOK_SECRET, Florin, Person, Webhooks, running
from tests.support.captured_logs import captured_logs
from tests.support.database import rows

EVENT = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1_790_000_000,
        "livemode": False,
        "data": {"object": {"id": "pi_unknown", "object": "payment_intent"}},
    }
).encode()


def signature(body: bytes, *, age_seconds: int = 0, secret: str = WEBHOOK_SECRET) -> str:
    """The header as docs.stripe.com/webhooks says it is made."""
    timestamp = int(time.time()) - age_seconds
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


async def deliver(florin: Florin, body: bytes, signatures: Sequence[str]) -> httpx2.Response:
    headers = [("Content-Type", "application/json"), *(("Stripe-Signature", value) for value in signatures)]
    return await florin.http.post("/webhooks/stripe", content=body, headers=headers)


async def stored(florin: Florin) -> list[tuple[object, ...]]:
    return await rows(florin.parts.engine, "SELECT id, type, state FROM webhook_events ORDER BY id")


async def test_an_event_is_kept_once(florin: Florin) -> None:
    first = await deliver(florin, EVENT, [signature(EVENT)])
    assert (first.status_code, first.json()) == (200, {"received": True, "duplicate": False})
    # Stripe signs each delivery anew.
    second = await deliver(florin, EVENT, [signature(EVENT, age_seconds=1)])
    assert (second.status_code, second.json()) == (200, {"received": True, "duplicate": True})
    assert await stored(florin) == [("evt_1", "payment_intent.succeeded", "RECEIVED")]


HEADERS: dict[str, list[str]] = {
    "no header": [],
    "two headers": [signature(EVENT), signature(EVENT)],
    "an empty header": [""],
    "another secret": [signature(EVENT, secret="whsec_of_somebody_else")],
    "the empty secret": [signature(EVENT, secret="")],
    "a changed timestamp": [signature(EVENT).replace("t=1", "t=2", 1)],
    "only the old scheme": [signature(EVENT).replace("v1=", "v0=")],
    "no timestamp": [signature(EVENT).partition(",")[2]],
    "a text for a timestamp": [f"t=now,{signature(EVENT).partition(',')[2]}"],
}


@pytest.mark.parametrize("signatures", HEADERS.values(), ids=HEADERS.keys())
async def test_what_is_not_signed_is_refused(florin: Florin, signatures: list[str]) -> None:
    _assert_refused(await deliver(florin, EVENT, signatures))
    assert await stored(florin) == []


@pytest.mark.parametrize("age_seconds", [301, 86_400, -60, -86_400])
async def test_what_was_not_signed_lately_is_refused(florin: Florin, age_seconds: int) -> None:
    _assert_refused(await deliver(florin, EVENT, [signature(EVENT, age_seconds=age_seconds)]))
    assert await stored(florin) == []


async def test_a_changed_byte_is_refused(florin: Florin) -> None:
    signed = signature(EVENT)
    for position in (0, len(EVENT) // 2, len(EVENT) - 1):
        changed = bytearray(EVENT)
        changed[position] ^= 1
        _assert_refused(await deliver(florin, bytes(changed), [signed]))
    for other in (EVENT + b" ", EVENT[:-1], b""):
        _assert_refused(await deliver(florin, other, [signed]))
    assert await stored(florin) == []


BODIES = {
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "a text": b'"event"',
    "an object": b"{}",
    "bad UTF-8": EVENT.replace(b"pi_unknown", b"pi_\xff\xfe"),
    "UTF-16": EVENT.decode().encode("utf-16"),
    "no id": EVENT.replace(b'"evt_1"', b"null"),
    "a NUL in the id": EVENT.replace(b"evt_1", b"evt_\\u0000"),
    "a lone surrogate in the type": EVENT.replace(b"payment_intent.succeeded", b"\\ud800"),
    "a long id": EVENT.replace(b"evt_1", b"e" * 300),
    "no object": EVENT.replace(b'{"id": "pi_unknown", "object": "payment_intent"}', b"null"),
    "a list for an object": EVENT.replace(b'{"id": "pi_unknown", "object": "payment_intent"}', b"[1]"),
    "a date beyond all calendars": EVENT.replace(b"1790000000", b"9" * 30),
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "a huge number": b'{"id": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_what_is_no_event_is_refused_although_it_is_signed(florin: Florin, body: bytes) -> None:
    _assert_refused(await deliver(florin, body, [signature(body)]))
    assert await stored(florin) == []


@pytest.mark.parametrize("length", [2 * 1024 * 1024, 1024 * 1024 + 1])
async def test_a_large_body_is_refused(florin: Florin, length: int) -> None:
    body = EVENT + b" " * (length - len(EVENT))
    response = await deliver(florin, body, [signature(body)])
    assert response.status_code == 413
    assert response.json()["code"] == "PAYLOAD_TOO_LARGE"
    assert await stored(florin) == []


async def test_a_large_body_without_a_length_is_refused(florin: Florin) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    response = await florin.http.post(
        "/webhooks/stripe", content=chunks(), headers={"Stripe-Signature": signature(EVENT)}
    )
    assert response.status_code == 413
    assert await stored(florin) == []


async def test_an_unknown_type_is_acknowledged_and_kept(florin: Florin, webhooks: Webhooks) -> None:
    body = EVENT.replace(b"payment_intent.succeeded", b"tax.settings.updated")
    assert (await deliver(florin, body, [signature(body)])).status_code == 200
    await webhooks.worker.work_once()
    assert await stored(florin) == [("evt_1", "tax.settings.updated", "IGNORED")]


async def test_an_event_about_somebody_elses_charge_changes_nothing(
    florin: Florin, webhooks: Webhooks, ada: Person
) -> None:
    transaction = await ada.paid()
    theirs = await florin.sandbox.pay()
    body = EVENT.replace(b"pi_unknown", theirs["id"].encode())
    assert (await deliver(florin, body, [signature(body)])).status_code == 200
    await webhooks.apply()
    assert ("evt_1", "payment_intent.succeeded", "IGNORED") in await stored(florin)
    assert await ada.transaction(transaction["id"]) == transaction


async def test_events_of_a_payment_that_is_done_change_nothing(florin: Florin, webhooks: Webhooks, ada: Person) -> None:
    transaction = await ada.paid()
    log = await ada.audit(transaction["id"])
    await webhooks.apply()
    assert set((await webhooks.states()).values()) <= {"APPLIED", "IGNORED"}
    assert (await webhooks.states())["payment_intent.succeeded"] == "APPLIED"
    assert await ada.transaction(transaction["id"]) == transaction
    assert await ada.audit(transaction["id"]) == log


async def test_both_secrets_count_while_one_is_rotated(engine: AsyncEngine) -> None:
    old, new = "whsec_old", "whsec_new"
    async with running(engine, stripe_webhook_secret=f"{old},{new}") as florin:
        for number, secret in enumerate((old, new)):
            body = EVENT.replace(b"evt_1", f"evt_{number}".encode())
            assert (await deliver(florin, body, [signature(body, secret=secret)])).status_code == 200
        _assert_refused(await deliver(florin, EVENT, [signature(EVENT)]))
        assert [event_id for event_id, *_ in await stored(florin)] == ["evt_0", "evt_1"]


async def test_neither_the_secret_nor_the_body_is_logged(florin: Florin) -> None:
    body = EVENT.replace(b'"object": "payment_intent"', b'"client_secret": "pi_1_secret_canary"')
    with captured_logs() as logs:
        assert (await deliver(florin, body, [signature(body)])).status_code == 200
        _assert_refused(await deliver(florin, body + b" ", [signature(body)]))
    assert [(line["status"], line["operation"]) for line in logs.named("request")] == [
        (200, "payment_intent.succeeded"),
        (400, None),
    ]
    assert "canary" not in logs.text
    assert WEBHOOK_SECRET not in logs.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_delivers(florin: Florin, method: str) -> None:
    response = await florin.http.request(method, "/webhooks/stripe")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["code"] == "METHOD_NOT_ALLOWED"


def _assert_refused(response: httpx2.Response) -> None:
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "retryable", "requestId"}
    assert (problem["code"], problem["status"], problem["retryable"]) == ("BAD_INPUT", 400, False)
    assert problem["requestId"] == response.headers["x-request-id"]
