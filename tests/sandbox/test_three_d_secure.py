"""3-D Secure: the page, its two buttons, and what follows."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.driver import Driver

_BACK = "https://shop.test/orders?order=7#top"


async def test_with_a_return_url_the_payer_is_redirected(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_authenticationRequired", return_url=_BACK)
    action = intent["next_action"]
    assert (intent["status"], action["type"]) == ("requires_action", "redirect_to_url")
    assert action["redirect_to_url"]["return_url"] == _BACK
    assert intent["latest_charge"] is None

    response = await sandbox.authenticate(intent, "complete")
    assert response.status_code == 303
    location = urlsplit(response.headers["Location"])
    assert (location.netloc, location.fragment) == ("shop.test", "top")
    assert parse_qs(location.query) == {
        "order": ["7"],
        "payment_intent": [intent["id"]],
        "payment_intent_client_secret": [intent["client_secret"]],
        "redirect_status": ["succeeded"],
    }
    paid = await sandbox.get(f"/v1/payment_intents/{intent['id']}", {"expand[]": "latest_charge"})
    assert (paid["status"], paid["next_action"]) == ("succeeded", None)
    secure = paid["latest_charge"]["payment_method_details"]["card"]["three_d_secure"]
    assert (secure["result"], secure["authentication_flow"]) == ("authenticated", "challenge")
    assert await sandbox.event_types() == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_a_failed_authentication_charges_nothing(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_threeDSecure2Required", return_url=_BACK)
    response = await sandbox.authenticate(intent, "fail")
    assert parse_qs(urlsplit(response.headers["Location"]).query)["redirect_status"] == ["failed"]

    failed = await sandbox.get(f"/v1/payment_intents/{intent['id']}")
    assert (failed["status"], failed["latest_charge"]) == ("requires_payment_method", None)
    assert failed["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert (await sandbox.event_types())[-1] == "payment_intent.payment_failed"
    assert (await sandbox.get("/v1/charges"))["data"] == []


async def test_without_a_return_url_the_page_is_reached_through_the_sdk(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_authenticationRequired", capture_method="manual")
    assert intent["next_action"]["type"] == "use_stripe_sdk"
    response = await sandbox.authenticate(intent, "complete")

    assert response.status_code == 200
    assert "The payment is authorised." in response.text
    assert (await sandbox.get(f"/v1/payment_intents/{intent['id']}"))["status"] == "requires_capture"


@pytest.mark.parametrize(
    ("payment_method", "code"),
    [
        ("pm_card_threeDSecureRequiredChargeDeclined", "card_declined"),
        ("pm_card_threeDSecureRequiredProcessingError", "processing_error"),
    ],
)
async def test_the_card_may_still_be_declined(sandbox: Driver, payment_method: str, code: str) -> None:
    intent = await sandbox.pay(payment_method, return_url=_BACK)
    response = await sandbox.authenticate(intent, "complete")

    assert "redirect_status=failed" in response.headers["Location"]
    failed = await sandbox.get(f"/v1/payment_intents/{intent['id']}")
    assert (failed["status"], failed["last_payment_error"]["code"]) == ("requires_payment_method", code)


async def test_the_page_says_what_is_paid_and_runs_nothing(sandbox: Driver) -> None:
    intent = await sandbox.pay(
        "pm_card_authenticationRequired", return_url=_BACK, description="<script>alert(1)</script>"
    )
    page = await sandbox.client.get(intent["next_action"]["redirect_to_url"]["url"])

    assert "$10.99" in page.text
    assert "Complete authentication" in page.text
    assert "Fail authentication" in page.text
    assert "<script" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' https://shop.test;" in policy
    assert page.headers["Cache-Control"] == "no-store"
    # The PaymentIntent's own id leads to the same page.
    assert (await sandbox.client.get(f"/3ds/{intent['id']}")).text == page.text


async def test_the_answer_needs_the_token_and_counts_once(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_authenticationRequired")
    url = intent["next_action"]["use_stripe_sdk"]["stripe_js"]

    for form in ({}, {"token": "", "outcome": "complete"}, {"token": "x" * 32, "outcome": "complete"}):
        assert (await sandbox.client.post(url, data=form)).status_code == 403
    assert (await sandbox.get(f"/v1/payment_intents/{intent['id']}"))["status"] == "requires_action"

    page = await sandbox.client.get(url)
    token = page.text.partition('name="token" value="')[2].partition('"')[0]
    assert (await sandbox.client.post(url, data={"token": token})).status_code == 400
    for outcome in ("complete", "fail", "complete"):
        assert (await sandbox.client.post(url, data={"token": token, "outcome": outcome})).status_code == 200
    assert (await sandbox.get(f"/v1/payment_intents/{intent['id']}"))["status"] == "succeeded"
    assert len((await sandbox.get("/v1/charges"))["data"]) == 1


async def test_after_cancellation_nothing_can_be_authenticated(sandbox: Driver) -> None:
    intent = await sandbox.pay("pm_card_authenticationRequired")
    url = intent["next_action"]["use_stripe_sdk"]["stripe_js"]
    page = await sandbox.client.get(url)
    token = page.text.partition('name="token" value="')[2].partition('"')[0]
    await sandbox.post(f"/v1/payment_intents/{intent['id']}/cancel")

    response = await sandbox.client.post(url, data={"token": token, "outcome": "complete"})
    assert "The payment was canceled." in response.text
    assert (await sandbox.get("/v1/charges"))["data"] == []


async def test_unknown_payments_have_no_page(sandbox: Driver) -> None:
    assert (await sandbox.client.get("/3ds/src_none")).status_code == 404


async def test_three_d_secure_may_be_asked_for(sandbox: Driver) -> None:
    asked = {"payment_method_options[card][request_three_d_secure]": "any"}
    assert (await sandbox.pay("pm_card_threeDSecureOptional"))["status"] == "succeeded"
    assert (await sandbox.pay("pm_card_threeDSecureOptional", **asked))["status"] == "requires_action"
    assert (await sandbox.pay("pm_card_visa", **asked))["status"] == "succeeded"
