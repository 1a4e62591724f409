"""The same key with the same input is the same act, however often and from however many sides it is sent."""

import asyncio

import pytest

from tests.api.application import PAY, REFUND, Florin, Person, payment, usd


async def test_a_payment_is_replayed(florin: Florin, ada: Person) -> None:
    first = await ada.pay(metadata={"a": 1, "b": {"c": 2}})
    before = await florin.traces()
    # The order of names says nothing, and ten dollars are a thousand cents.
    again = await ada.pay(metadata={"b": {"c": 2}, "a": 1}, money=usd(1000))
    assert again == first | {"replayed": True}
    assert await florin.traces() == before


@pytest.mark.parametrize(
    "change",
    [
        {"money": usd(1001)},
        {"money": {"currency": "EUR", "amountMinor": 1000}},
        {"paymentMethodId": "pm_card_mastercard"},
        {"description": "Three tickets"},
        {"description": None},
        {"metadata": {"order": 8}},
        {"metadata": {"order": "7"}},
        {"captureMethod": "MANUAL"},
        {"returnUrl": "https://shop.example/elsewhere"},
    ],
    ids=str,
)
async def test_a_key_is_not_for_another_payment(florin: Florin, ada: Person, change: dict[str, object]) -> None:
    original: dict[str, object] = {"description": "Two tickets", "metadata": {"order": 7}}
    first = await ada.paid(**original)
    before = await florin.traces()
    payload = await ada.pay(**{**original, **change})
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [
        ("IDEMPOTENCY_KEY_REUSED", ["input", "idempotencyKey"])
    ]
    assert payload["transaction"] is None
    assert payload["replayed"] is False
    assert await florin.traces() == before
    # The first use stands.
    replayed = await ada.pay(**original)
    assert (replayed["replayed"], replayed["transaction"]["id"]) == (True, first["id"])


async def test_a_key_belongs_to_its_user_and_its_mutation(florin: Florin, ada: Person, alan: Person) -> None:
    hers, his = await ada.paid("the key"), await alan.paid("the key")
    assert hers["id"] != his["id"]
    assert (await ada.refund(hers["id"], "the key"))["replayed"] is False
    assert len(await florin.charged()) == 2


async def test_a_refund_is_replayed(florin: Florin, ada: Person, grace: Person) -> None:
    taken = await ada.paid()
    first = await ada.refund(taken["id"], money=usd(400))
    before = await florin.traces()
    again = await ada.refund(taken["id"], money={"currency": "USD", "amount": "4.00"})
    assert again == first | {"replayed": True}
    for change in ({"money": usd(401)}, {"money": usd(400), "reason": "DUPLICATE"}, {}):
        payload = await ada.refund(taken["id"], **change)
        assert [error["code"] for error in payload["errors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    assert await florin.traces() == before
    # Somebody else's key is another key, even of the same name.
    assert (await grace.refund(taken["id"], money=usd(400)))["replayed"] is False
    assert await florin.given_back() == [400, 400]


async def test_a_key_keeps_its_exact_characters(florin: Florin, ada: Person) -> None:
    # Composed and decomposed, with a space, in capitals: all of them are other keys.
    keys = ["\u00e9", "e\u0301", " \u00e9", "\u00c9", "k" * 255, "k" * 254, "\U0001f4b6" * 255]
    transactions = [(await ada.paid(key))["id"] for key in keys]
    assert len(set(transactions)) == len(keys)
    assert [(await ada.pay(key))["replayed"] for key in keys] == [True] * len(keys)
    assert len(await florin.charged()) == len(keys)


async def test_a_hundred_payments_at_once_with_one_key_are_one(florin: Florin, ada: Person) -> None:
    answers = await asyncio.gather(*(ada.ask(PAY, {"input": payment("one key")}) for _ in range(100)))
    payloads = [answer["createPayment"] for answer in answers]
    made = {payload["transaction"]["id"] for payload in payloads if payload["transaction"]}
    assert len(made) == 1
    waiting = [payload for payload in payloads if not payload["transaction"]]
    assert all([error["code"] for error in payload["errors"]] == ["IDEMPOTENCY_IN_PROGRESS"] for payload in waiting)
    assert all(payload["errors"][0]["retryable"] for payload in waiting)
    assert sum(not payload["replayed"] for payload in payloads if payload["transaction"]) == 1
    assert await florin.charged() == [1000]
    counts = await florin.traces()
    assert (counts["transactions"], counts["idempotency_keys"], counts["sandbox payment_intent"]) == (1, 1, 1)
    assert (await ada.pay("one key"))["transaction"]["id"] in made


async def test_refunds_at_once_with_one_key_are_one(florin: Florin, ada: Person) -> None:
    taken = await ada.paid()
    wanted = {"idempotencyKey": "one key", "transactionId": taken["id"], "money": usd(100)}
    answers = await asyncio.gather(*(ada.ask(REFUND, {"input": wanted}) for _ in range(20)))
    payloads = [answer["refund"] for answer in answers]
    assert len({payload["refund"]["id"] for payload in payloads if payload["refund"]}) == 1
    assert {error["code"] for payload in payloads for error in payload["errors"]} <= {"IDEMPOTENCY_IN_PROGRESS"}
    assert await florin.given_back() == [100]
