"""Every resource that the sandbox answers with has the shape that Stripe publishes."""

from collections.abc import Awaitable, Callable

import pytest

from tests.sandbox.driver import CARD, Driver, Json
from tests.sandbox.shapes import list_violations, violations


async def _rich_intent(sandbox: Driver) -> Json:
    customer = await sandbox.post("/v1/customers", {"email": "jenny@example.test"})
    return await sandbox.unconfirmed(
        **{
            "customer": customer["id"],
            "description": "Order 7",
            "metadata[order]": "7",
            "payment_method": "pm_card_visa",
            "receipt_email": "jenny@example.test",
            "setup_future_usage": "off_session",
            "shipping[name]": "Jenny Rosen",
            "shipping[address][line1]": "1 Main Street",
            "statement_descriptor_suffix": "ORDER 7",
            "transfer_group": "orders",
        }
    )


async def _declined_intent(sandbox: Driver) -> Json:
    error = await sandbox.declined("pm_card_visa_chargeDeclined")
    intent: Json = error["payment_intent"]
    return intent


async def _canceled_intent(sandbox: Driver) -> Json:
    intent = await sandbox.unconfirmed()
    return await sandbox.post(
        f"/v1/payment_intents/{intent['id']}/cancel", {"cancellation_reason": "requested_by_customer"}
    )


async def _unauthenticated_intent(sandbox: Driver) -> Json:
    intent = await sandbox.pay("pm_card_authenticationRequired")
    await sandbox.authenticate(intent, "fail")
    return await sandbox.get(f"/v1/payment_intents/{intent['id']}")


_INTENTS: dict[str, Callable[[Driver], Awaitable[Json]]] = {
    "unconfirmed": lambda sandbox: sandbox.unconfirmed(),
    "with everything set": _rich_intent,
    "succeeded": lambda sandbox: sandbox.pay(),
    "held": lambda sandbox: sandbox.pay(capture_method="manual"),
    "processing": lambda sandbox: sandbox.pay("pm_sandbox_processing"),
    "redirecting": lambda sandbox: sandbox.pay("pm_card_authenticationRequired", return_url="https://shop.test/back"),
    "acting by SDK": lambda sandbox: sandbox.pay("pm_card_authenticationRequired"),
    "declined": _declined_intent,
    "canceled": _canceled_intent,
    "failed authentication": _unauthenticated_intent,
}


@pytest.mark.parametrize("name", _INTENTS)
async def test_payment_intents(sandbox: Driver, name: str) -> None:
    assert violations("payment_intent", await _INTENTS[name](sandbox)) == []


@pytest.mark.parametrize(
    "payment_method", ["pm_card_visa", "pm_card_amex", "pm_card_visa_chargeDeclined", "pm_card_radarBlock"]
)
async def test_charges(sandbox: Driver, payment_method: str) -> None:
    await sandbox.send(
        "POST",
        "/v1/payment_intents",
        {"amount": 1099, "currency": "usd", "confirm": True, "payment_method": payment_method, **CARD},
    )
    charges = await sandbox.get("/v1/charges")

    assert list_violations("charge", charges) == []
    assert len(charges["data"]) == 1


async def test_a_charge_after_three_d_secure(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_authenticationRequired", capture_method="manual")
    await sandbox.authenticate(intent, "complete")
    charges = await sandbox.get("/v1/charges", {"payment_intent": intent["id"]})

    assert charges["data"][0]["payment_method_details"]["card"]["three_d_secure"]["result"] == "authenticated"
    assert list_violations("charge", charges) == []


@pytest.mark.parametrize("payment_method", ["pm_card_visa", "pm_card_pendingRefund", "pm_card_refundFail"])
async def test_refunds_and_their_ledger(sandbox: Driver, payment_method: str) -> None:
    intent = await sandbox.pay(payment_method)
    refund = await sandbox.post("/v1/refunds", {"payment_intent": intent["id"], "amount": 100, "reason": "duplicate"})
    await sandbox.pass_time(60)

    assert violations("refund", refund) == []
    assert list_violations("refund", await sandbox.get("/v1/refunds")) == []
    entries = await sandbox.get("/v1/balance_transactions")
    assert list_violations("balance_transaction", entries) == []
    assert len(entries["data"]) >= 2


async def test_payment_methods(sandbox: Driver) -> None:
    typed = await sandbox.post(
        "/v1/payment_methods",
        {"type": "card", "card[number]": "4242424242424242", "card[exp_month]": 8, "card[exp_year]": 2040},
    )
    named = await sandbox.get("/v1/payment_methods/pm_card_mastercard")

    assert violations("payment_method", typed) == []
    assert violations("payment_method", named) == []


async def test_customers(sandbox: Driver) -> None:
    customer = await sandbox.post(
        "/v1/customers",
        {
            "name": "Jenny Rosen",
            "email": "jenny@example.test",
            "address[line1]": "1 Main Street",
            "shipping[name]": "Jenny",
            "shipping[address][city]": "Springfield",
            "metadata[a]": "b",
        },
    )
    assert violations("customer", customer) == []
    assert list_violations("customer", await sandbox.get("/v1/customers")) == []
    assert violations("deleted_customer", await sandbox.delete(f"/v1/customers/{customer['id']}")) == []


async def test_disputes(sandbox: Driver) -> None:
    await sandbox.pay("pm_card_createDispute")
    await sandbox.pass_time(60)
    disputes = await sandbox.get("/v1/disputes")

    assert len(disputes["data"]) == 1
    assert list_violations("dispute", disputes) == []


async def test_webhook_endpoints(sandbox: Driver) -> None:
    endpoint = await sandbox.post(
        "/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/", "enabled_events[]": "*", "description": "Orders"}
    )
    assert violations("webhook_endpoint", endpoint) == []
    assert list_violations("webhook_endpoint", await sandbox.get("/v1/webhook_endpoints")) == []
    deleted = await sandbox.delete(f"/v1/webhook_endpoints/{endpoint['id']}")
    assert violations("deleted_webhook_endpoint", deleted) == []


async def test_events_and_the_objects_in_them(sandbox: Driver) -> None:
    await _INTENTS["with everything set"](sandbox)
    await _INTENTS["failed authentication"](sandbox)
    intent = await sandbox.pay("pm_card_createDispute")
    await sandbox.pass_time(60)
    await sandbox.pay("pm_card_visa")
    await sandbox.declined("pm_card_visa_chargeDeclined")
    events = await sandbox.get("/v1/events", {"limit": 100})

    assert list_violations("event", events) == []
    seen = set()
    for event in events["data"]:
        snapshot = event["data"]["object"]
        seen.add(snapshot["object"])
        assert violations(snapshot["object"], snapshot) == [], event["type"]
    assert seen >= {"payment_intent", "charge", "customer", "dispute"}
    assert intent["status"] == "succeeded"


async def test_the_balance_and_the_account(sandbox: Driver) -> None:
    await sandbox.pay(currency="eur")
    assert violations("balance", await sandbox.get("/v1/balance")) == []
    assert violations("account", await sandbox.get("/v1/account")) == []


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("GET", "/v1/charges/ch_none", {}),
        ("GET", "/v1/nothing", {}),
        ("PUT", "/v1/charges", {}),
        ("POST", "/v1/payment_intents", {"amount": "x", "currency": "usd"}),
        (
            "POST",
            "/v1/payment_intents",
            {"amount": 99, "currency": "usd", "confirm": True, "payment_method": "pm_card_radarBlock", **CARD},
        ),
    ],
)
async def test_errors(sandbox: Driver, method: str, path: str, params: Json) -> None:
    response = await sandbox.send(method, path, params)
    assert response.status_code >= 400
    assert violations("error", response.json()) == []


async def test_errors_about_a_missing_key(sandbox: Driver) -> None:
    response = await sandbox.client.get("/v1/charges")
    assert violations("error", response.json()) == []
