"""Refunds, what they leave of a charge, and the ledger's sum."""

import pytest

from tests.sandbox.driver import Driver, Json


async def _net(sandbox: Driver) -> int:
    entries = await sandbox.get("/v1/balance_transactions", {"limit": 100})
    return sum(entry["net"] for entry in entries["data"])


async def test_a_charge_is_refunded_in_parts_and_never_more_than_whole(sandbox: Driver) -> None:
    intent = await sandbox.pay(**{"metadata[order]": "7"})
    first = await sandbox.post(
        "/v1/refunds",
        {"payment_intent": intent["id"], "amount": 600, "reason": "requested_by_customer", "metadata[a]": "b"},
    )
    assert (first["status"], first["amount"], first["charge"]) == ("succeeded", 600, intent["latest_charge"])
    assert (first["metadata"], first["reason"]) == ({"a": "b"}, "requested_by_customer")
    charge = await sandbox.charge_of(intent)
    assert (charge["amount_refunded"], charge["refunded"]) == (600, False)

    error = await sandbox.refused(400, "POST", "/v1/refunds", {"charge": charge["id"], "amount": 500})
    assert error["message"] == "Refund amount ($5.00) is greater than unrefunded amount on charge ($4.99)"
    assert error["param"] == "amount"
    second = await sandbox.post("/v1/refunds", {"charge": charge["id"]})
    assert second["amount"] == 499

    charge = await sandbox.charge_of(intent)
    assert (charge["amount_refunded"], charge["refunded"]) == (1099, True)
    assert [refund["id"] for refund in charge["refunds"]["data"]] == [second["id"], first["id"]]
    error = await sandbox.refused(400, "POST", "/v1/refunds", {"payment_intent": intent["id"]})
    assert error["code"] == "charge_already_refunded"
    # The money is back with the payer; the fee of 62 is not.
    assert await _net(sandbox) == -62
    assert (await sandbox.event_types())[3:] == ["refund.created", "charge.refunded"] * 2


@pytest.mark.parametrize(
    ("params", "status", "param"),
    [
        ({}, 400, "payment_intent"),
        ({"payment_intent": "pi_none"}, 404, "payment_intent"),
        ({"charge": "ch_none"}, 404, "charge"),
        ({"charge": "CHARGE", "amount": 0}, 400, "amount"),
        ({"charge": "CHARGE", "amount": 1100}, 400, "amount"),
        ({"charge": "CHARGE", "reason": "bored"}, 400, "reason"),
        ({"charge": "CHARGE", "reverse_transfer": True}, 400, "reverse_transfer"),
    ],
)
async def test_refunds_that_are_refused_change_nothing(sandbox: Driver, params: Json, status: int, param: str) -> None:
    intent = await sandbox.pay()
    asked = {name: intent["latest_charge"] if value == "CHARGE" else value for name, value in params.items()}
    assert (await sandbox.refused(status, "POST", "/v1/refunds", asked))["param"] == param
    assert (await sandbox.charge_of(intent))["amount_refunded"] == 0
    assert (await sandbox.get("/v1/refunds"))["data"] == []


async def test_only_captured_money_is_refunded(sandbox: Driver) -> None:
    held = await sandbox.pay(capture_method="manual")
    await sandbox.refused(400, "POST", "/v1/refunds", {"payment_intent": held["id"]})
    await sandbox.refused(400, "POST", "/v1/refunds", {"charge": held["latest_charge"]})
    unpaid = await sandbox.unconfirmed()
    await sandbox.refused(400, "POST", "/v1/refunds", {"payment_intent": unpaid["id"]})
    declined = await sandbox.declined("pm_card_visa_chargeDeclined")
    await sandbox.refused(400, "POST", "/v1/refunds", {"charge": declined["charge"]})


async def test_a_three_decimal_refund_ends_in_zero(sandbox: Driver) -> None:
    intent = await sandbox.pay(amount=10_000, currency="kwd")
    await sandbox.refused(400, "POST", "/v1/refunds", {"payment_intent": intent["id"], "amount": 1001})
    await sandbox.post("/v1/refunds", {"payment_intent": intent["id"], "amount": 1010})


async def test_a_pending_refund_succeeds_later(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_pendingRefund")
    refund = await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})
    assert (refund["status"], refund["pending_reason"]) == ("pending", "processing")
    await sandbox.pass_time(10)
    assert (await sandbox.get(f"/v1/refunds/{refund['id']}"))["status"] == "succeeded"
    assert (await sandbox.event_types())[-2:] == ["refund.updated", "charge.refund.updated"]


async def test_a_pending_refund_may_be_canceled(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_pendingRefund")
    refund = await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})
    assert (await sandbox.post(f"/v1/refunds/{refund['id']}/cancel"))["status"] == "canceled"
    assert (await sandbox.charge_of(intent))["amount_refunded"] == 0
    assert await _net(sandbox) == 1037
    await sandbox.refused(400, "POST", f"/v1/refunds/{refund['id']}/cancel")
    await sandbox.pass_time(10)
    assert (await sandbox.get(f"/v1/refunds/{refund['id']}"))["status"] == "canceled"


async def test_a_refund_may_fail_after_it_succeeded(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_refundFail")
    refund = await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})
    assert refund["status"] == "succeeded"
    await sandbox.pass_time(10)

    failed = await sandbox.get(f"/v1/refunds/{refund['id']}", {"expand[]": "failure_balance_transaction"})
    assert (failed["status"], failed["failure_balance_transaction"]["amount"]) == ("failed", 1099)
    charge = await sandbox.charge_of(intent)
    assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
    assert "refund.failed" in await sandbox.event_types()
    assert await _net(sandbox) == 1037


@pytest.mark.parametrize("outcome", ["succeed", "fail"])
async def test_a_pending_refund_ends_when_told(sandbox: Driver, outcome: str) -> None:
    intent = await sandbox.pay("pm_card_pendingRefund")
    refund = await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})
    settled = await sandbox.post(f"/_sandbox/refunds/{refund['id']}/settle", {"outcome": outcome})
    assert settled["status"] == {"succeed": "succeeded", "fail": "failed"}[outcome]


async def test_refunds_are_listed_by_charge_and_payment(sandbox: Driver) -> None:
    intent, other = await sandbox.pay(), await sandbox.pay()
    refund = await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})
    await sandbox.post("/v1/refunds", {"payment_intent": other["id"]})
    for filters in ({"payment_intent": intent["id"]}, {"charge": intent["latest_charge"]}):
        listed = await sandbox.get("/v1/refunds", filters)
        assert [each["id"] for each in listed["data"]] == [refund["id"]]
    updated = await sandbox.post(f"/v1/refunds/{refund['id']}", {"metadata[note]": "late"})
    assert updated["metadata"] == {"note": "late"}


async def test_the_balance_becomes_available_after_two_days(sandbox: Driver) -> None:
    await sandbox.pay()
    await sandbox.pay("pm_card_bypassPending", currency="eur")
    balance = await sandbox.get("/v1/balance")
    assert _amounts(balance["pending"]) == {"eur": 0, "usd": 1037}
    assert _amounts(balance["available"]) == {"eur": 1037, "usd": 0}
    await sandbox.pass_time(3 * 86_400)
    assert _amounts((await sandbox.get("/v1/balance"))["available"]) == {"eur": 1037, "usd": 1037}


def _amounts(side: list[Json]) -> dict[str, int]:
    return {part["currency"]: part["amount"] for part in side}
