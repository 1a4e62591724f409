"""Idempotency keys, exactly as Stripe documents them."""

import asyncio

import pytest

from sandbox.server import SandboxConfig
from tests.sandbox.driver import CARD, Driver, driving

_PAYMENT = {"amount": 1099, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa", **CARD}


async def _count(sandbox: Driver) -> int:
    return len((await sandbox.get("/v1/payment_intents", {"limit": 100}))["data"])


@pytest.mark.parametrize(
    ("payment_method", "status"), [("pm_card_visa", 200), ("pm_card_visa_chargeDeclined", 402), ("pm_none", 400)]
)
async def test_an_executed_request_is_answered_once_and_repeated(
    sandbox: Driver, payment_method: str, status: int
) -> None:
    asked = {**_PAYMENT, "payment_method": payment_method}
    first = await sandbox.send("POST", "/v1/payment_intents", asked, idempotency_key="k")
    events = await sandbox.event_types()
    again = await sandbox.send("POST", "/v1/payment_intents", asked, idempotency_key="k")

    assert (first.status_code, again.status_code) == (status, status)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"] != again.headers["Request-Id"]
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"] == "k"
    assert await sandbox.event_types() == events


async def test_a_refusal_by_state_is_repeated_even_when_the_state_has_changed(sandbox: Driver) -> None:
    intent = await sandbox.unconfirmed()
    path = f"/v1/payment_intents/{intent['id']}/capture"
    first = await sandbox.refused(400, "POST", path, idempotency_key="k")
    await sandbox.post(
        f"/v1/payment_intents/{intent['id']}/confirm", {"payment_method": "pm_card_visa", "capture_method": "manual"}
    )
    assert await sandbox.refused(400, "POST", path, idempotency_key="k") == first
    assert (await sandbox.post(path, idempotency_key="another"))["status"] == "succeeded"


async def test_a_failure_of_the_sandbox_is_repeated_too(sandbox: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sandbox.balance.processing_fee", lambda *_: 1 // 0)
        first = await sandbox.send("POST", "/v1/payment_intents", _PAYMENT, idempotency_key="k")
    again = await sandbox.send("POST", "/v1/payment_intents", _PAYMENT, idempotency_key="k")

    assert (first.status_code, again.status_code) == (500, 500)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await _count(sandbox) == 0


async def test_another_request_with_the_same_key_is_refused(sandbox: Driver) -> None:
    await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k")
    for path, params in (
        ("/v1/payment_intents", {**_PAYMENT, "amount": 1100}),
        ("/v1/payment_intents", {**_PAYMENT, "expand[]": "latest_charge"}),
        ("/v1/customers", {}),
    ):
        response = await sandbox.send("POST", path, params, idempotency_key="k")
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "idempotency_error"
        assert "Idempotent-Replayed" not in response.headers
    assert await _count(sandbox) == 1


async def test_the_order_of_parameters_does_not_matter(sandbox: Driver) -> None:
    first = await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k")
    turned = dict(reversed(_PAYMENT.items()))
    assert await sandbox.post("/v1/payment_intents", turned, idempotency_key="k") == first


async def test_what_was_refused_before_execution_is_not_kept(sandbox: Driver) -> None:
    await sandbox.refused(400, "POST", "/v1/payment_intents", {**_PAYMENT, "amount": 1}, idempotency_key="k")
    await sandbox.refused(400, "POST", "/v1/payment_intents", {**_PAYMENT, "x": 1}, idempotency_key="k")
    intent = await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k")
    assert intent["status"] == "succeeded"


async def test_keys_live_for_a_day(sandbox: Driver) -> None:
    first = await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k")
    await sandbox.pass_time(23 * 3_600)
    assert await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k") == first
    await sandbox.pass_time(2 * 3_600)
    assert (await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k"))["id"] != first["id"]


async def test_keys_belong_to_the_api_key() -> None:
    async with driving(SandboxConfig(api_keys=("sk_test_sandbox", "sk_test_second"))) as sandbox:
        first = await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k")
        other = await sandbox.post(
            "/v1/payment_intents", _PAYMENT, idempotency_key="k", Authorization="Bearer sk_test_second"
        )
        assert other["id"] != first["id"]
        assert await _count(sandbox) == 2


async def test_only_posts_have_keys_and_long_ones_are_refused(sandbox: Driver) -> None:
    customer = await sandbox.post("/v1/customers")
    path = f"/v1/customers/{customer['id']}"
    for method in ("GET", "DELETE", "GET"):
        response = await sandbox.send(method, path, idempotency_key="k")
        assert response.status_code == 200
        assert "Idempotency-Key" not in response.headers
    await sandbox.refused(400, "POST", "/v1/payment_intents", _PAYMENT, idempotency_key="k" * 256)
    await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k" * 255)


async def test_while_a_key_executes_it_is_in_use() -> None:
    async with driving(SandboxConfig(latency_seconds=0.05)) as sandbox:
        answers = await asyncio.gather(
            *(sandbox.send("POST", "/v1/payment_intents", _PAYMENT, idempotency_key="k") for _ in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
        conflict = next(answer for answer in answers if answer.status_code == 409)
        assert conflict.json()["error"]["code"] == "idempotency_key_in_use"
        assert conflict.headers["Stripe-Should-Retry"] == "true"
        # A conflict is not kept: afterwards the key answers with what was executed.
        again = await sandbox.send("POST", "/v1/payment_intents", _PAYMENT, idempotency_key="k")
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
        assert await _count(sandbox) == 1


async def test_concurrent_refunds_never_exceed_the_charge(sandbox: Driver) -> None:
    intent = await sandbox.pay()
    answers = await asyncio.gather(
        *(sandbox.send("POST", "/v1/refunds", {"payment_intent": intent["id"], "amount": 500}) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [400] * 6
    assert (await sandbox.charge_of(intent))["amount_refunded"] == 1000
