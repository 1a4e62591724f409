"""Disputes, from the card that brings one to its end."""

import pytest

from tests.sandbox.driver import Driver, Json


async def _disputed(sandbox: Driver, payment_method: str = "pm_card_createDispute") -> tuple[Json, Json]:
    intent = await sandbox.pay(payment_method)
    await sandbox.pass_time(10)
    listed = await sandbox.get("/v1/disputes", {"payment_intent": intent["id"]})
    return intent, listed["data"][0]


async def test_a_dispute_takes_the_money_and_forbids_refunds(sandbox: Driver) -> None:
    intent, dispute = await _disputed(sandbox)

    assert (dispute["status"], dispute["reason"], dispute["amount"]) == ("needs_response", "fraudulent", 1099)
    assert [(entry["amount"], entry["fee"]) for entry in dispute["balance_transactions"]] == [(-1099, 1500)]
    assert (await sandbox.charge_of(intent))["disputed"] is True
    error = await sandbox.refused(400, "POST", "/v1/refunds", {"payment_intent": intent["id"]})
    assert error["code"] == "charge_disputed"
    assert (await sandbox.event_types())[-2:] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]


@pytest.mark.parametrize(("evidence", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")])
async def test_the_evidence_decides(sandbox: Driver, evidence: str, status: str) -> None:
    _, dispute = await _disputed(sandbox, "pm_card_createDisputeProductNotReceived")
    path = f"/v1/disputes/{dispute['id']}"
    submitted = await sandbox.post(path, {"evidence[uncategorized_text]": evidence})
    assert submitted["status"] == "under_review"
    await sandbox.pass_time(10)

    decided = await sandbox.get(path)
    assert decided["status"] == status
    assert sum(entry["amount"] for entry in decided["balance_transactions"]) == (0 if status == "won" else -1099)
    error = await sandbox.refused(400, "POST", path, {"metadata[a]": "b"})
    assert error["code"] == "dispute_already_closed"


async def test_closing_concedes(sandbox: Driver) -> None:
    _, dispute = await _disputed(sandbox)
    assert (await sandbox.post(f"/v1/disputes/{dispute['id']}/close"))["status"] == "lost"


async def test_an_inquiry_leaves_the_money(sandbox: Driver) -> None:
    intent, dispute = await _disputed(sandbox, "pm_card_createDisputeInquiry")
    assert (dispute["status"], dispute["balance_transactions"]) == ("warning_needs_response", [])
    await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})


async def _opened(sandbox: Driver, **parameters: object) -> Json:
    return await sandbox.control("disputes", parameters)


async def _entries(sandbox: Driver, source: str) -> list[tuple[str, str, int, int, int]]:
    """Oldest first."""
    listed = await sandbox.get("/v1/balance_transactions", {"source": source})
    return [
        (entry["type"], entry["reporting_category"], entry["amount"], entry["fee"], entry["net"])
        for entry in reversed(listed["data"])
    ]


async def test_a_dispute_can_be_opened_at_any_time_for_a_part(sandbox: Driver) -> None:
    intent = await sandbox.pay()
    await sandbox.pass_time(40 * 86_400)
    dispute = await _opened(sandbox, payment_intent=intent["id"], amount=400, reason="product_not_received")

    assert (dispute["amount"], dispute["reason"], dispute["status"]) == (400, "product_not_received", "needs_response")
    assert dispute["charge"] == intent["latest_charge"]
    assert await _entries(sandbox, dispute["id"]) == [("adjustment", "dispute", -400, 1500, -1900)]
    [entry] = dispute["balance_transactions"]
    assert [(detail["amount"], detail["type"]) for detail in entry["fee_details"]] == [(1500, "stripe_fee")]
    assert (await sandbox.charge_of(intent))["disputed"] is True


@pytest.mark.parametrize("outcome", ["win", "lose"])
async def test_a_dispute_is_decided_by_control(sandbox: Driver, outcome: str) -> None:
    intent = await sandbox.pay()
    dispute = await _opened(sandbox, charge=intent["latest_charge"])
    path = f"/_sandbox/disputes/{dispute['id']}/settle"
    decided = await sandbox.post(path, {"outcome": outcome})

    assert decided["status"] == {"win": "won", "lose": "lost"}[outcome]
    reversal = [("adjustment", "dispute_reversal", 1099, 0, 1099)] if outcome == "win" else []
    assert await _entries(sandbox, dispute["id"]) == [("adjustment", "dispute", -1099, 1500, -2599), *reversal]
    assert (await sandbox.event_types())[-1] == "charge.dispute.closed"
    error = await sandbox.refused(400, "POST", path, {"outcome": "win"})
    assert error["code"] == "dispute_already_closed"


async def test_an_inquiry_can_become_a_dispute(sandbox: Driver) -> None:
    intent = await sandbox.pay()
    inquiry = await _opened(sandbox, payment_intent=intent["id"], inquiry=True)
    assert (inquiry["status"], inquiry["balance_transactions"]) == ("warning_needs_response", [])
    path = f"/_sandbox/disputes/{inquiry['id']}/settle"
    dispute = await sandbox.post(path, {"outcome": "escalate"})
    assert (dispute["id"], dispute["status"]) == (inquiry["id"], "needs_response")
    assert await _entries(sandbox, dispute["id"]) == [("adjustment", "dispute", -1099, 1500, -2599)]
    error = await sandbox.refused(400, "POST", "/v1/refunds", {"payment_intent": intent["id"]})
    assert error["code"] == "charge_disputed"
    await sandbox.refused(400, "POST", path, {"outcome": "escalate"})
    assert (await sandbox.post(path, {"outcome": "lose"}))["status"] == "lost"


async def test_a_refunded_charge_can_be_disputed_all_the_same(sandbox: Driver) -> None:
    intent = await sandbox.pay()
    await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})
    dispute = await _opened(sandbox, payment_intent=intent["id"])
    assert dispute["amount"] == 1099


async def test_what_was_lost_cannot_be_disputed_again(sandbox: Driver) -> None:
    intent = await sandbox.pay()
    first = await _opened(sandbox, payment_intent=intent["id"], amount=1000)
    refused = {"payment_intent": intent["id"], "amount": 1}
    await sandbox.refused(400, "POST", "/_sandbox/disputes", refused)
    await sandbox.post(f"/_sandbox/disputes/{first['id']}/settle", {"outcome": "lose"})
    await sandbox.refused(400, "POST", "/_sandbox/disputes", {**refused, "amount": 100})
    second = await _opened(sandbox, payment_intent=intent["id"], amount=99)
    assert len((await sandbox.get("/v1/disputes", {"charge": intent["latest_charge"]}))["data"]) == 2
    assert second["amount"] == 99


async def test_what_cannot_be_disputed_is_refused_without_a_trace(sandbox: Driver) -> None:
    held = await sandbox.pay(capture_method="manual")
    paid = await sandbox.pay()
    unconfirmed = await sandbox.unconfirmed()
    for status, params in (
        (400, {}),
        (400, {"payment_intent": paid["id"], "charge": paid["latest_charge"]}),
        (400, {"payment_intent": paid["id"], "amount": 1100}),
        (400, {"payment_intent": paid["id"], "amount": 0}),
        (400, {"payment_intent": paid["id"], "reason": "bad_mood"}),
        (400, {"payment_intent": paid["id"], "inquiry": "maybe"}),
        (400, {"payment_intent": held["id"]}),
        (404, {"payment_intent": unconfirmed["id"]}),
        (404, {"payment_intent": "pi_none"}),
        (404, {"charge": "ch_none"}),
    ):
        await sandbox.refused(status, "POST", "/_sandbox/disputes", params)
    assert (await sandbox.get("/v1/disputes"))["data"] == []
    assert (await sandbox.charge_of(paid))["disputed"] is False
