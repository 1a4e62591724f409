"""The life of a PaymentIntent: who may do what in which status, and what it leaves behind."""

from collections.abc import Awaitable, Callable

import pytest

from tests.sandbox.driver import CARD, Driver, Json


async def test_a_payment(sandbox: Driver) -> None:
    created = await sandbox.unconfirmed(**{"metadata[order]": "7"})
    assert created["status"] == "requires_payment_method"
    assert created["client_secret"].startswith(f"{created['id']}_secret_")

    confirmed = await sandbox.post(
        f"/v1/payment_intents/{created['id']}/confirm",
        {"payment_method": "pm_card_visa", "expand[]": "latest_charge.balance_transaction"},
    )
    charge = confirmed["latest_charge"]
    assert (confirmed["status"], confirmed["amount_received"]) == ("succeeded", 1099)
    assert (charge["paid"], charge["captured"], charge["amount_captured"]) == (True, True, 1099)
    assert charge["metadata"] == {"order": "7"}
    assert charge["payment_method"] == confirmed["payment_method"]
    # 2.9% of 10.99 is 0.32, and 30 cents.
    entry = charge["balance_transaction"]
    assert (entry["amount"], entry["fee"], entry["net"]) == (1099, 62, 1037)
    assert entry["fee_details"][0]["type"] == "stripe_fee"
    assert await sandbox.event_types() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


@pytest.mark.parametrize(
    ("amount", "currency", "fee"),
    [(1099, "usd", 62), (50, "usd", 31), (500, "jpy", 45), (10_000, "kwd", 590), (10_000, "isk", 300)],
)
async def test_the_fee_is_in_what_the_currency_can_express(
    sandbox: Driver, amount: int, currency: str, fee: int
) -> None:
    intent = await sandbox.pay(amount=amount, currency=currency, **{"expand[]": "latest_charge.balance_transaction"})
    assert intent["latest_charge"]["balance_transaction"]["fee"] == fee


@pytest.mark.parametrize(
    ("payment_method", "code", "decline_code", "message"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline", "Your card was declined."),
        ("pm_card_chargeDeclined", "card_declined", "generic_decline", "Your card was declined."),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline", "Your card was declined."),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
            "Your card has insufficient funds.",
        ),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card", "Your card was declined."),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card", "Your card was declined."),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card", "Your card has expired."),
        (
            "pm_card_chargeDeclinedIncorrectCvc",
            "incorrect_cvc",
            "incorrect_cvc",
            "Your card's security code is incorrect.",
        ),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error", "An error occurred"),
        ("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded", "Your card was"),
        ("pm_card_radarBlock", "card_declined", "fraudulent", "Your card was declined."),
    ],
)  # fmt: skip
async def test_a_decline(sandbox: Driver, payment_method: str, code: str, decline_code: str, message: str) -> None:
    error = await sandbox.declined(payment_method)

    assert (error["type"], error["code"], error["decline_code"]) == ("card_error", code, decline_code)
    assert error["message"].startswith(message)
    intent = await sandbox.get(f"/v1/payment_intents/{error['payment_intent']['id']}")
    assert intent == error["payment_intent"]
    assert (intent["status"], intent["payment_method"]) == ("requires_payment_method", None)
    assert (intent["amount_received"], intent["latest_charge"]) == (0, error["charge"])
    last = intent["last_payment_error"]
    assert (last["code"], last["decline_code"], last["charge"]) == (code, decline_code, error["charge"])
    assert last["payment_method"]["id"] == error["payment_method"]["id"]
    charge = await sandbox.charge_of(intent)
    assert (charge["status"], charge["paid"], charge["failure_code"]) == ("failed", False, code)
    assert (await sandbox.get("/v1/balance_transactions"))["data"] == []
    assert (await sandbox.event_types())[1:] == ["charge.failed", "payment_intent.payment_failed"]


async def test_after_a_decline_another_card_may_pay(sandbox: Driver) -> None:
    error = await sandbox.declined("pm_card_visa_chargeDeclined")
    intent_id = error["payment_intent"]["id"]

    await sandbox.refused(400, "POST", f"/v1/payment_intents/{intent_id}/confirm")
    paid = await sandbox.post(f"/v1/payment_intents/{intent_id}/confirm", {"payment_method": "pm_card_visa"})

    assert (paid["status"], paid["last_payment_error"]) == ("succeeded", None)
    charges = await sandbox.get("/v1/charges", {"payment_intent": intent_id})
    assert [charge["status"] for charge in charges["data"]] == ["succeeded", "failed"]


async def _canceled(sandbox: Driver) -> Json:
    intent = await sandbox.unconfirmed()
    return await sandbox.post(f"/v1/payment_intents/{intent['id']}/cancel")


_STATUSES: dict[str, Callable[[Driver], Awaitable[Json]]] = {
    "requires_payment_method": lambda sandbox: sandbox.unconfirmed(),
    "requires_confirmation": lambda sandbox: sandbox.unconfirmed(payment_method="pm_card_visa"),
    "requires_action": lambda sandbox: sandbox.pay("pm_card_authenticationRequired"),
    "processing": lambda sandbox: sandbox.pay("pm_sandbox_processing"),
    "requires_capture": lambda sandbox: sandbox.pay(capture_method="manual"),
    "succeeded": lambda sandbox: sandbox.pay(),
    "canceled": _canceled,
}
# For each status: what confirm (with a good card), capture, cancel and a new amount lead to. None is a refusal.
_LEGAL: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "requires_payment_method": ("succeeded", None, "canceled", "requires_payment_method"),
    "requires_confirmation": ("succeeded", None, "canceled", "requires_confirmation"),
    "requires_action": ("succeeded", None, "canceled", "requires_confirmation"),
    "processing": (None, None, None, None),
    "requires_capture": (None, "succeeded", "canceled", None),
    "succeeded": (None, None, None, None),
    "canceled": (None, None, None, None),
}
_ACTS: tuple[tuple[str, Json], ...] = (
    ("/confirm", {"payment_method": "pm_card_visa"}),
    ("/capture", {}),
    ("/cancel", {}),
    ("", {"amount": 2000}),
)


@pytest.mark.parametrize("status", _STATUSES)
@pytest.mark.parametrize("act", range(len(_ACTS)), ids=["confirm", "capture", "cancel", "amount"])
async def test_every_act_in_every_status(sandbox: Driver, status: str, act: int) -> None:
    intent = await _STATUSES[status](sandbox)
    assert intent["status"] == status
    path, params = _ACTS[act]
    expected = _LEGAL[status][act]
    events = await sandbox.event_types()

    if expected is None:
        error = await sandbox.refused(400, "POST", f"/v1/payment_intents/{intent['id']}{path}", params)
        assert error["code"] == "payment_intent_unexpected_state"
        assert error["payment_intent"]["id"] == intent["id"]
        assert await sandbox.get(f"/v1/payment_intents/{intent['id']}") == intent
        assert await sandbox.event_types() == events
    else:
        after = await sandbox.post(f"/v1/payment_intents/{intent['id']}{path}", params)
        assert after["status"] == expected


async def test_a_hold_is_captured_in_part_and_the_rest_released(sandbox: Driver) -> None:
    held = await sandbox.pay(capture_method="manual")
    assert (held["amount_capturable"], held["amount_received"]) == (1099, 0)
    charge = await sandbox.charge_of(held)
    assert (charge["captured"], charge["balance_transaction"], charge["status"]) == (False, None, "succeeded")

    path = f"/v1/payment_intents/{held['id']}/capture"
    assert (await sandbox.refused(400, "POST", path, {"amount_to_capture": 1100}))["code"] == "amount_too_large"
    captured = await sandbox.post(path, {"amount_to_capture": 1000})
    assert (captured["status"], captured["amount_received"], captured["amount_capturable"]) == ("succeeded", 1000, 0)

    charge = await sandbox.charge_of(captured)
    assert (charge["amount_captured"], charge["amount_refunded"], charge["refunded"]) == (1000, 0, False)
    entries = (await sandbox.get("/v1/balance_transactions"))["data"]
    assert [(entry["amount"], entry["fee"]) for entry in entries] == [(1000, 59)]
    assert (await sandbox.event_types())[1:] == [
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ]


async def test_a_canceled_hold_goes_back(sandbox: Driver) -> None:
    held = await sandbox.pay(capture_method="manual")
    canceled = await sandbox.post(f"/v1/payment_intents/{held['id']}/cancel", {"cancellation_reason": "abandoned"})

    assert (canceled["status"], canceled["cancellation_reason"]) == ("canceled", "abandoned")
    assert (canceled["amount_capturable"], canceled["canceled_at"] is None) == (0, False)
    charge = await sandbox.charge_of(canceled)
    assert (charge["refunded"], charge["captured"], charge["amount_captured"]) == (False, False, 0)
    assert (await sandbox.get("/v1/refunds"))["data"] == []
    assert (await sandbox.event_types())[-1] == "payment_intent.canceled"
    assert (await sandbox.get("/v1/balance_transactions"))["data"] == []


async def test_a_hold_lapses_after_a_week(sandbox: Driver) -> None:
    held = await sandbox.pay(capture_method="manual")
    await sandbox.pass_time(6 * 86_400)
    assert (await sandbox.get(f"/v1/payment_intents/{held['id']}"))["status"] == "requires_capture"
    await sandbox.pass_time(86_401)

    lapsed = await sandbox.get(f"/v1/payment_intents/{held['id']}")
    assert (lapsed["status"], lapsed["cancellation_reason"]) == ("canceled", "expired")
    assert (await sandbox.event_types())[-2:] == ["charge.expired", "payment_intent.canceled"]


@pytest.mark.parametrize(("outcome", "status"), [("succeed", "succeeded"), ("fail", "requires_payment_method")])
async def test_processing_lasts_until_it_is_told_otherwise(sandbox: Driver, outcome: str, status: str) -> None:
    intent = await sandbox.pay("pm_sandbox_processing")
    assert (intent["status"], intent["amount_received"]) == ("processing", 0)
    assert (await sandbox.charge_of(intent))["status"] == "pending"
    await sandbox.pass_time(90 * 86_400)
    assert (await sandbox.get(f"/v1/payment_intents/{intent['id']}"))["status"] == "processing"

    path = f"/_sandbox/payment_intents/{intent['id']}/settle"
    settled = await sandbox.post(path, {"outcome": outcome})

    assert settled["status"] == status
    charge = await sandbox.charge_of(settled)
    assert charge["status"] == ("succeeded" if outcome == "succeed" else "failed")
    assert bool(charge["balance_transaction"]) == (outcome == "succeed")
    await sandbox.refused(400, "POST", path, {"outcome": outcome})
    charges = await sandbox.get("/v1/charges", {"payment_intent": intent["id"]})
    assert len(charges["data"]) == 1


async def test_asynchronous_capture_books_the_money_a_little_later(sandbox: Driver) -> None:
    intent = await sandbox.pay(capture_method="automatic_async")
    assert intent["status"] == "succeeded"
    assert (await sandbox.charge_of(intent))["balance_transaction"] is None
    await sandbox.pass_time(10)

    assert (await sandbox.charge_of(intent))["balance_transaction"].startswith("txn_")
    last = (await sandbox.get("/v1/events", {"limit": 1}))["data"][0]
    assert (last["type"], last["data"]["previous_attributes"]) == ("charge.updated", {"balance_transaction": None})


async def test_automatic_payment_methods_may_redirect_and_so_need_a_return_url(sandbox: Driver) -> None:
    asked = {"amount": 1099, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
    error = await sandbox.refused(400, "POST", "/v1/payment_intents", asked)
    assert "return_url" in error["message"]
    assert (await sandbox.get("/v1/payment_intents"))["data"] == []

    for more in (
        {"return_url": "https://shop.test/back"},
        {"automatic_payment_methods[enabled]": True, "automatic_payment_methods[allow_redirects]": "never"},
        {"payment_method_types[]": "card"},
        {"allowed_payment_method_types[]": "card"},
        {"off_session": True},
    ):
        assert (await sandbox.post("/v1/payment_intents", {**asked, **more}))["status"] == "succeeded"


async def test_off_session_the_payer_cannot_authenticate(sandbox: Driver) -> None:
    error = await sandbox.declined("pm_card_authenticationRequired", off_session=True)
    assert (error["code"], error["decline_code"]) == ("authentication_required", "authentication_required")
    assert error["payment_intent"]["status"] == "requires_payment_method"

    error = await sandbox.declined("pm_card_authenticationRequired", error_on_requires_action=True)
    assert error["code"] == "authentication_required"
    assert error["payment_intent"]["latest_charge"] is None


async def test_a_test_payment_method_becomes_one_of_the_payment(sandbox: Driver) -> None:
    intent = await sandbox.unconfirmed(payment_method="pm_card_visa", **{"expand[]": "payment_method"})
    assert intent["payment_method"]["id"] != "pm_card_visa"
    assert intent["payment_method"]["card"]["last4"] == "4242"


async def test_an_update_after_the_payment_touches_only_words(sandbox: Driver) -> None:
    intent = await sandbox.pay()
    path = f"/v1/payment_intents/{intent['id']}"
    assert (await sandbox.post(path, {"description": "Paid", "metadata[a]": "b"}))["description"] == "Paid"
    error = await sandbox.refused(400, "POST", path, {"payment_method": "pm_card_visa"})
    assert error["code"] == "payment_intent_unexpected_state"


async def test_a_client_secret_must_match(sandbox: Driver) -> None:
    intent = await sandbox.unconfirmed(**CARD)
    path = f"/v1/payment_intents/{intent['id']}"
    await sandbox.get(path, {"client_secret": intent["client_secret"]})
    await sandbox.refused(400, "GET", path, {"client_secret": "wrong"})
