"""The mutation refund as a client sees it, with the sandbox as the processor."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import IdKind, encode
from tests.api.application import REFUND, Florin, Person, Webhooks, running, usd

UNKNOWN_ID = encode(IdKind.TRANSACTION, UUID(int=7))


async def test_all_of_a_payment_is_refunded(florin: Florin, ada: Person) -> None:
    taken = await ada.paid()
    payload = await ada.refund(taken["id"], reason="REQUESTED_BY_CUSTOMER")
    assert payload["errors"] == []
    assert payload["replayed"] is False
    refund = payload["refund"]
    assert refund["status"] == "COMPLETED"
    assert refund["money"] == {"amountMinor": "1000", "currency": "USD"}
    assert refund["reason"] == "REQUESTED_BY_CUSTOMER"
    assert refund["processorReference"].startswith("re_")
    assert refund["transaction"] == {"id": taken["id"]}
    assert payload["transaction"]["status"] == "REFUNDED"
    assert payload["transaction"]["refundedMoney"] == {"amountMinor": "1000"}
    assert payload["transaction"]["refundableMoney"] == {"amountMinor": "0"}
    assert await ada.transaction(taken["id"]) == payload["transaction"]
    assert await florin.given_back() == [1000]
    actions = [entry["action"] for entry in await ada.audit(taken["id"])]
    assert actions[2:] == ["refund.requested", "refund.completed", "transaction.refunded"]


async def test_a_payment_is_refunded_in_parts(florin: Florin, ada: Person, grace: Person) -> None:
    taken = await ada.paid()
    first = await ada.refund(taken["id"], "one", money=usd(300))
    assert first["transaction"]["status"] == "PARTIALLY_REFUNDED"
    assert first["transaction"]["refundableMoney"] == {"amountMinor": "700"}
    second = await grace.refund(taken["id"], "two", money={"currency": "USD", "amount": "2.50"})
    assert second["transaction"]["refundedMoney"] == {"amountMinor": "550"}
    too_much = await ada.refund(taken["id"], "three", money=usd(451))
    assert too_much["refund"] is None
    (error,) = too_much["errors"]
    assert error["__typename"] == "RefundExceedsRemainingError"
    assert error["code"] == "REFUND_EXCEEDS_REMAINING"
    assert error["maxRefundable"] == {"amountMinor": "450", "currency": "USD"}
    # The refused key was not used up: without the money it asks for what is left.
    rest = await ada.refund(taken["id"], "three")
    assert rest["refund"]["money"]["amountMinor"] == "450"
    assert rest["transaction"]["status"] == "REFUNDED"
    again = await ada.refund(taken["id"], "four")
    assert [error["code"] for error in again["errors"]] == ["ALREADY_REFUNDED"]
    assert sorted(await florin.given_back()) == [250, 300, 450]
    listed = await ada.ask(
        "query ($id: ID!) { transaction(id: $id) { refunds { totalCount nodes { money { amountMinor } } } } }",
        {"id": taken["id"]},
    )
    assert listed["transaction"]["refunds"] == {
        "totalCount": 3,
        "nodes": [{"money": {"amountMinor": amount}} for amount in ("300", "250", "450")],
    }


@pytest.mark.parametrize(
    ("money", "code"),
    [
        (usd(1001), "REFUND_EXCEEDS_REMAINING"),
        (usd(0), "INVALID_AMOUNT"),
        (usd(-1), "INVALID_AMOUNT"),
        ({"currency": "USD", "amount": "1.001"}, "INVALID_AMOUNT"),
        ({"currency": "USD"}, "INVALID_AMOUNT"),
        ({"currency": "USD", "amount": "1.00", "amountMinor": 100}, "INVALID_AMOUNT"),
        ({"currency": "EUR", "amountMinor": 100}, "INVALID_CURRENCY"),
        (usd(100_000_000), "INVALID_AMOUNT"),
    ],
)
async def test_a_refund_of_what_is_not_there_changes_nothing(
    florin: Florin, ada: Person, money: dict[str, object], code: str
) -> None:
    taken = await ada.paid()
    before = await florin.traces()
    payload = await ada.refund(taken["id"], money=money)
    assert [error["code"] for error in payload["errors"]] == [code]
    assert payload["errors"][0]["path"][:2] == ["input", "money"]
    assert payload["refund"] is None
    assert payload["transaction"] is None
    assert payload["replayed"] is False
    assert await florin.traces() == before
    # The key is still free.
    assert (await ada.refund(taken["id"], money=usd(100)))["errors"] == []


@pytest.mark.parametrize(
    ("card", "capture_method", "status"),
    [
        ("pm_card_visa_chargeDeclined", "AUTOMATIC", "FAILED"),
        ("pm_card_visa", "MANUAL", "AUTHORIZED"),
        ("pm_card_authenticationRequired", "AUTOMATIC", "REQUIRES_ACTION"),
        ("pm_sandbox_processing", "AUTOMATIC", "PENDING"),
    ],
)
async def test_a_payment_that_took_no_money_cannot_be_refunded(
    florin: Florin, ada: Person, card: str, capture_method: str, status: str
) -> None:
    transaction = (await ada.pay(paymentMethodId=card, captureMethod=capture_method))["transaction"]
    assert transaction["status"] == status
    before = await florin.traces()
    payload = await ada.refund(transaction["id"])
    assert [error["code"] for error in payload["errors"]] == ["NOT_REFUNDABLE"]
    assert payload["refund"] is None
    assert await florin.traces() == before


async def test_somebody_elses_payment_is_not_found(florin: Florin, ada: Person, alan: Person) -> None:
    taken = await ada.paid()
    before = await florin.traces()
    of_others = await alan.refund(taken["id"])
    assert [error["code"] for error in of_others["errors"]] == ["NOT_FOUND"]
    # Word for word what an id that does not exist gets: nothing tells that there is such a payment.
    for unknown in (UNKNOWN_ID, "txn_", "no id at all", encode(IdKind.REFUND, UUID(int=7)), "\x00"):
        assert await alan.refund(unknown) == of_others
    assert await florin.traces() == before
    assert (await alan.refund((await alan.paid())["id"]))["errors"] == []


async def test_a_setting_takes_refunds_from_customers(engine: AsyncEngine) -> None:
    async with running(engine, customers_may_refund=False) as florin:
        taken = await florin.ada.paid()
        before = await florin.traces()
        wanted = {"idempotencyKey": "refund-1", "transactionId": taken["id"]}
        error = await florin.ada.refused(REFUND, {"input": wanted})
        assert error["extensions"]["code"] == "FORBIDDEN"
        assert await florin.traces() == before
        assert (await florin.grace.refund(taken["id"]))["errors"] == []


async def test_a_pending_refund_is_completed_by_a_webhook(florin: Florin, webhooks: Webhooks, ada: Person) -> None:
    taken = await ada.paid(paymentMethodId="pm_card_pendingRefund")
    payload = await ada.refund(taken["id"], money=usd(400))
    assert payload["errors"] == []
    assert payload["refund"]["status"] == "PENDING"
    assert payload["transaction"]["status"] == "COMPLETED"
    # What is on its way cannot be promised twice.
    assert payload["transaction"]["refundableMoney"] == {"amountMinor": "600"}
    await florin.sandbox.pass_time(60)
    await webhooks.apply()
    after = await ada.transaction(taken["id"])
    assert after["status"] == "PARTIALLY_REFUNDED"
    assert after["refundedMoney"] == {"amountMinor": "400"}
    assert (await ada.refund(taken["id"], money=usd(400)))["refund"]["status"] == "COMPLETED"


async def test_a_refund_that_fails_later_gives_the_amount_back(florin: Florin, webhooks: Webhooks, ada: Person) -> None:
    taken = await ada.paid(paymentMethodId="pm_card_refundFail")
    payload = await ada.refund(taken["id"])
    assert payload["transaction"]["status"] == "REFUNDED"
    await florin.sandbox.pass_time(60)
    await webhooks.apply()
    after = await ada.transaction(taken["id"])
    assert after["status"] == "COMPLETED"
    assert after["refundedMoney"] == {"amountMinor": "0"}
    assert after["refundableMoney"] == {"amountMinor": "1000"}
    replayed = await ada.refund(taken["id"])
    assert replayed["replayed"] is True
    assert replayed["refund"]["status"] == "FAILED"
    assert [error["code"] for error in replayed["errors"]] == ["REFUND_FAILED"]


async def test_a_refund_made_at_the_processor_is_booked(florin: Florin, webhooks: Webhooks, ada: Person) -> None:
    taken = await ada.paid()
    await florin.sandbox.post("/v1/refunds", {"payment_intent": taken["processorReference"], "amount": 250})
    await webhooks.apply()
    after = await ada.transaction(taken["id"])
    assert after["status"] == "PARTIALLY_REFUNDED"
    assert after["refundableMoney"] == {"amountMinor": "750"}


async def test_refunds_at_once_never_give_back_more_than_was_taken(florin: Florin, ada: Person) -> None:
    taken = await ada.paid(money=usd(1000))
    payloads = await asyncio.gather(*(ada.refund(taken["id"], f"refund-{n}", money=usd(333)) for n in range(20)))
    accepted = [payload for payload in payloads if not payload["errors"]]
    assert len(accepted) == 3
    refused = {error["code"] for payload in payloads for error in payload["errors"]}
    assert refused == {"REFUND_EXCEEDS_REMAINING"}
    assert await florin.given_back() == [333, 333, 333]
    after = await ada.transaction(taken["id"])
    assert after["refundedMoney"] == {"amountMinor": "999"}
    assert after["refundableMoney"] == {"amountMinor": "1"}
