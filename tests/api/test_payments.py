"""createPayment, capture and void as a client sees them, with the sandbox as the processor."""

from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.application import RETURN_URL, Florin, Person, Webhooks, payment, running, usd


async def test_a_payment_is_taken(florin: Florin, ada: Person) -> None:
    payload = await ada.pay(description="Two tickets", metadata={"order": 7, "nested": {"list": [1, None, "ä"]}})
    assert payload["errors"] == []
    assert payload["replayed"] is False
    transaction = payload["transaction"]
    assert transaction["status"] == "COMPLETED"
    assert transaction["money"] == {"amountMinor": "1000", "amount": "10.00", "currency": "USD"}
    assert transaction["capturedMoney"] == {"amountMinor": "1000"}
    assert transaction["refundedMoney"] == {"amountMinor": "0"}
    assert transaction["refundableMoney"] == {"amountMinor": "1000"}
    assert transaction["feeMoney"] == {"amountMinor": "59", "currency": "USD"}
    assert transaction["netMoney"] == {"amountMinor": "941"}
    assert transaction["description"] == "Two tickets"
    assert transaction["metadata"] == {"order": 7, "nested": {"list": [1, None, "ä"]}}
    assert transaction["captureMethod"] == "AUTOMATIC"
    assert transaction["processor"] == "stripe"
    assert transaction["processorReference"].startswith("pi_")
    assert transaction["processorStatus"] == "succeeded"
    assert transaction["paymentMethod"]["brand"] == "visa"
    assert transaction["paymentMethod"]["last4"] == "4242"
    assert transaction["failure"] is None
    assert transaction["nextAction"] is None
    assert await florin.charged() == [1000]
    assert await ada.transaction(transaction["id"]) == transaction
    entries = await ada.audit(transaction["id"])
    assert [entry["action"] for entry in entries] == ["transaction.created", "transaction.completed"]
    assert [entry["actorKind"] for entry in entries] == ["USER", "PROCESSOR"]
    assert [entry["actor"] for entry in entries] == [{"id": ada.id}, None]
    assert entries[1]["details"]["via"] == "response"


@pytest.mark.parametrize(
    ("money", "amount", "minor"),
    [
        ({"currency": "JPY", "amount": "1000"}, "1000", "1000"),
        ({"currency": "KWD", "amount": "10.250"}, "10.250", "10250"),
        ({"currency": "KWD", "amountMinor": 10250}, "10.250", "10250"),
        ({"currency": "USD", "amountMinor": "1000"}, "10.00", "1000"),
        ({"currency": "USD", "amount": 10}, "10.00", "1000"),
        ({"currency": "USD", "amount": "999999.99"}, "999999.99", "99999999"),
        # Stripe counts the krona with two decimals that must be zero; ISO 4217 gives it none.
        ({"currency": "ISK", "amount": "500"}, "500.00", "50000"),
    ],
)
async def test_an_amount_may_be_given_in_major_or_minor_units(
    florin: Florin, ada: Person, money: dict[str, object], amount: str, minor: str
) -> None:
    transaction = await ada.paid(money=money)
    assert transaction["money"] == {"amountMinor": minor, "amount": amount, "currency": money["currency"]}
    assert await florin.charged() == [int(minor)]


async def test_an_authorized_payment_is_captured_in_part(florin: Florin, ada: Person, grace: Person) -> None:
    held = await ada.paid(captureMethod="MANUAL")
    assert held["status"] == "AUTHORIZED"
    assert held["capturedMoney"] == {"amountMinor": "0"}
    assert await florin.charged() == []
    payload = await grace.capture(held["id"], money=usd(700))
    assert payload["errors"] == []
    assert payload["transaction"]["status"] == "COMPLETED"
    assert payload["transaction"]["capturedMoney"] == {"amountMinor": "700"}
    assert await florin.charged() == [700]
    again = await grace.capture(held["id"], money=usd(700))
    assert again == payload | {"replayed": True}
    assert await florin.charged() == [700]
    entries = await grace.audit(held["id"])
    assert [entry["action"] for entry in entries][-2:] == ["capture.requested", "transaction.completed"]
    assert entries[-2]["actor"] == {"id": grace.id}


async def test_a_captured_payment_cannot_be_captured_or_voided(florin: Florin, ada: Person, grace: Person) -> None:
    taken = await ada.paid()
    before = await florin.traces()
    for payload, code in (
        (await grace.capture(taken["id"]), "NOT_CAPTURABLE"),
        (await grace.void(taken["id"]), "NOT_VOIDABLE"),
    ):
        assert [error["code"] for error in payload["errors"]] == [code]
        assert payload["transaction"] is None
    assert await florin.traces() == before


@pytest.mark.parametrize(
    ("money", "code"),
    [
        (usd(1001), "INVALID_AMOUNT"),
        (usd(0), "INVALID_AMOUNT"),
        (usd(-5), "INVALID_AMOUNT"),
        ({"currency": "EUR", "amountMinor": 500}, "INVALID_CURRENCY"),
    ],
)
async def test_a_capture_of_what_was_not_authorized_is_refused(
    florin: Florin, ada: Person, grace: Person, money: dict[str, object], code: str
) -> None:
    held = await ada.paid(captureMethod="MANUAL")
    before = await florin.traces()
    payload = await grace.capture(held["id"], money=money)
    assert [error["code"] for error in payload["errors"]] == [code]
    assert payload["errors"][0]["path"] == ["input", "money"]
    assert await florin.traces() == before


@pytest.mark.parametrize(("card", "status"), [("pm_card_visa", "AUTHORIZED"), ("pm_card_authenticationRequired", None)])
async def test_a_payment_is_voided(florin: Florin, ada: Person, grace: Person, card: str, status: str | None) -> None:
    held = await ada.paid(captureMethod="MANUAL", paymentMethodId=card)
    assert held["status"] == (status or "REQUIRES_ACTION")
    payload = await grace.void(held["id"])
    assert payload["errors"] == []
    assert payload["transaction"]["status"] == "CANCELED"
    assert payload["transaction"]["nextAction"] is None
    assert (await grace.void(held["id"]))["replayed"] is True
    assert await florin.charged() == []


async def test_capture_and_void_are_for_staff(florin: Florin, ada: Person) -> None:
    held = await ada.paid(captureMethod="MANUAL")
    before = await florin.traces()
    for mutation in ("capture", "void"):
        document = (
            f'mutation {{ {mutation}(input: {{idempotencyKey: "k", transactionId: "{held["id"]}"}}) {{ replayed }} }}'
        )
        error = await ada.refused(document)
        assert error["extensions"]["code"] == "FORBIDDEN"
        assert error["path"] == [mutation]
    assert await florin.traces() == before


@pytest.mark.parametrize("method", ["AUTOMATIC", "MANUAL"])
async def test_the_payer_completes_3d_secure(florin: Florin, webhooks: Webhooks, ada: Person, method: str) -> None:
    asked = await ada.paid(paymentMethodId="pm_card_authenticationRequired", returnUrl=RETURN_URL, captureMethod=method)
    assert asked["status"] == "REQUIRES_ACTION"
    assert asked["nextAction"]["type"] == "REDIRECT"
    assert asked["nextAction"]["redirectUrl"].startswith("http://")
    assert await florin.charged() == []
    back = await _answer_challenge(florin, asked, "complete")
    assert back.startswith(RETURN_URL)
    await webhooks.apply()
    done = await ada.transaction(asked["id"])
    assert done["status"] == ("COMPLETED" if method == "AUTOMATIC" else "AUTHORIZED")
    assert done["nextAction"] is None
    last = (await ada.audit(asked["id"]))[-1]
    assert last["details"]["via"] == "webhook"
    assert await florin.charged() == ([1000] if method == "AUTOMATIC" else [])
    replayed = await ada.pay(
        paymentMethodId="pm_card_authenticationRequired", returnUrl=RETURN_URL, captureMethod=method
    )
    assert replayed == {"replayed": True, "transaction": done, "errors": []}


async def test_the_payer_fails_3d_secure(florin: Florin, webhooks: Webhooks, ada: Person) -> None:
    asked = await ada.paid(paymentMethodId="pm_card_authenticationRequired", returnUrl=RETURN_URL)
    back = await _answer_challenge(florin, asked, "fail")
    assert parse_qs(urlsplit(back).query)["redirect_status"] == ["failed"]
    await webhooks.apply()
    failed = await ada.transaction(asked["id"])
    assert failed["status"] == "FAILED"
    assert failed["failure"]["code"] == "payment_intent_authentication_failure"
    assert failed["nextAction"] is None
    assert await florin.charged() == []
    # It stays failed at the processor too: the client secret is of no use any more.
    intent = await florin.sandbox.get(f"/v1/payment_intents/{asked['processorReference']}")
    assert intent["status"] == "canceled"


async def test_without_a_return_url_the_challenge_is_for_the_processors_own_library(ada: Person) -> None:
    asked = await ada.paid(paymentMethodId="pm_card_authenticationRequired")
    assert asked["status"] == "REQUIRES_ACTION"
    assert asked["nextAction"]["type"] == "USE_SDK"
    assert asked["nextAction"]["clientSecret"]
    assert asked["nextAction"]["redirectUrl"] is None


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "lost_card"),
    ],
)
async def test_a_declined_card_is_an_answer(florin: Florin, ada: Person, card: str, decline_code: str) -> None:
    payload = await ada.pay(paymentMethodId=card)
    transaction = payload["transaction"]
    assert transaction["status"] == "FAILED"
    assert transaction["failure"]["code"] == "card_declined"
    assert transaction["failure"]["declineCode"] == decline_code
    assert transaction["capturedMoney"] == {"amountMinor": "0"}
    (error,) = payload["errors"]
    assert error["__typename"] == "CardDeclinedError"
    assert error["code"] == "CARD_DECLINED"
    assert error["declineCode"] == decline_code
    assert error["message"] == transaction["failure"]["message"]
    assert await florin.charged() == []
    assert (await ada.audit(transaction["id"]))[-1]["details"]["declineCode"] == decline_code
    # The same answer again, and the card is not asked again.
    before = await florin.traces()
    assert await ada.pay(paymentMethodId=card) == payload | {"replayed": True}
    assert await florin.traces() == before


@pytest.mark.parametrize(("outcome", "status"), [("succeed", "COMPLETED"), ("fail", "FAILED")])
async def test_a_processing_payment_stays_pending_until_the_processor_tells(
    florin: Florin, webhooks: Webhooks, ada: Person, outcome: str, status: str
) -> None:
    payload = await ada.pay(paymentMethodId="pm_sandbox_processing")
    assert payload["errors"] == []
    pending = payload["transaction"]
    assert (pending["status"], pending["processorStatus"]) == ("PENDING", "processing")
    await florin.sandbox.post(f"/_sandbox/payment_intents/{pending['processorReference']}/settle", {"outcome": outcome})
    await webhooks.apply()
    assert (await ada.transaction(pending["id"]))["status"] == status
    assert await florin.charged() == ([1000] if outcome == "succeed" else [])


async def test_the_processor_gets_our_ids_and_nothing_of_the_metadata(florin: Florin, ada: Person) -> None:
    transaction = await ada.paid(description="Two tickets", metadata={"order": "a secret of the shop"})
    intent = await florin.sandbox.get(f"/v1/payment_intents/{transaction['processorReference']}")
    assert intent["amount"] == 1000
    assert intent["description"] == "Two tickets"
    assert "a secret of the shop" not in str(intent)


async def test_two_mutations_in_one_request_are_two_acts_where_a_setting_allows_them(engine: AsyncEngine) -> None:
    document = """mutation Two($a: CreatePaymentInput!, $b: CreatePaymentInput!) {
      a: createPayment(input: $a) { transaction { id } }
      b: createPayment(input: $b) { transaction { id } }
    }"""
    async with running(engine, mutations_per_request_max=2) as florin:
        data = await florin.ada.ask(document, {"a": payment("one"), "b": payment("two", money=usd(2000))})
        assert data["a"]["transaction"]["id"] != data["b"]["transaction"]["id"]
        assert sorted(await florin.charged()) == [1000, 2000]


async def _answer_challenge(florin: Florin, transaction: dict[str, object], outcome: str) -> str:
    """Open the bank's page as the payer's browser does and press a button; the address that it leads back to."""
    action = transaction["nextAction"]
    assert isinstance(action, dict)
    response = await florin.sandbox.authenticate(
        {"next_action": {"redirect_to_url": {"url": action["redirectUrl"]}}}, outcome
    )
    assert response.status_code == 303, response.text
    return response.headers["location"]
