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
