"""The real stripe-python client cannot tell the sandbox from Stripe."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
import stripe

from sandbox.server import SandboxConfig
from tests.sandbox.driver import KEY, Driver, listening

_Result = TypeVar("_Result")
_CARD: "stripe.params.PaymentIntentCreateParams" = {
    "amount": 1099,
    "currency": "usd",
    "allowed_payment_method_types": ["card"],
}


@contextmanager
def _client(sandbox: Driver) -> Iterator[stripe.StripeClient]:
    url = str(sandbox.client.base_url).rstrip("/")
    transport = stripe.RequestsClient()
    try:
        yield stripe.StripeClient(
            KEY, base_addresses={"api": url, "files": url}, http_client=transport, max_network_retries=0
        )
    finally:
        transport.close()  # type: ignore[no-untyped-call] # stripe-python leaves it untyped


async def _with_client(act: Callable[[stripe.StripeClient], _Result]) -> _Result:
    """The client blocks, so it runs in a thread while the sandbox serves in this one."""
    async with listening(SandboxConfig()) as sandbox:
        with _client(sandbox) as client:
            return await asyncio.to_thread(act, client)


async def test_create_confirm_refund() -> None:
    def act(client: stripe.StripeClient) -> None:
        intent = client.v1.payment_intents.create({**_CARD, "metadata": {"order": "7"}})
        assert intent.status == "requires_payment_method"
        intent = client.v1.payment_intents.confirm(
            intent.id, {"payment_method": "pm_card_visa", "expand": ["latest_charge.balance_transaction"]}
        )
        charge = intent.latest_charge
        assert isinstance(charge, stripe.Charge)
        assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
        assert (intent.status, charge.balance_transaction.net) == ("succeeded", 1037)
        refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 99, "reason": "duplicate"})
        assert (refund.status, refund.object) == ("succeeded", "refund")
        with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
            client.v1.refunds.create({"payment_intent": intent.id, "amount": 1099})

    await _with_client(act)


async def test_declines_are_card_errors() -> None:
    def act(client: stripe.StripeClient) -> None:
        with pytest.raises(stripe.CardError) as caught:
            client.v1.payment_intents.create(
                {**_CARD, "confirm": True, "payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds"}
            )
        error = caught.value
        assert (error.http_status, error.code) == (402, "card_declined")
        assert error.error is not None
        assert error.error.decline_code == "insufficient_funds"
        assert error.error.payment_intent is not None
        assert error.error.payment_intent.status == "requires_payment_method"
        assert error.request_id is not None

    await _with_client(act)


async def test_a_hold_is_captured_or_canceled() -> None:
    def act(client: stripe.StripeClient) -> None:
        held = client.v1.payment_intents.create(
            {**_CARD, "confirm": True, "payment_method": "pm_card_visa", "capture_method": "manual"}
        )
        assert held.status == "requires_capture"
        captured = client.v1.payment_intents.capture(held.id, {"amount_to_capture": 500})
        assert (captured.status, captured.amount_received) == ("succeeded", 500)
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.payment_intents.cancel(held.id)
        assert caught.value.code == "payment_intent_unexpected_state"
        canceled = client.v1.payment_intents.cancel(client.v1.payment_intents.create(_CARD).id)
        assert canceled.status == "canceled"

    await _with_client(act)


async def test_three_d_secure_tells_where_to_go() -> None:
    def act(client: stripe.StripeClient) -> None:
        intent = client.v1.payment_intents.create(
            {
                **_CARD,
                "confirm": True,
                "payment_method": "pm_card_threeDSecure2Required",
                "return_url": "https://shop.test/back",
            }
        )
        assert intent.status == "requires_action"
        assert intent.next_action is not None
        assert intent.next_action.redirect_to_url is not None
        assert intent.next_action.redirect_to_url.url is not None
        assert "/3ds/src_" in intent.next_action.redirect_to_url.url

    await _with_client(act)


async def test_lists_page_by_themselves() -> None:
    def act(client: stripe.StripeClient) -> None:
        made = [client.v1.payment_intents.create(_CARD).id for _ in range(7)]
        page = client.v1.payment_intents.list({"limit": 3})
        assert [intent.id for intent in page.auto_paging_iter()] == made[::-1]

    await _with_client(act)


async def test_idempotency_keys() -> None:
    def act(client: stripe.StripeClient) -> None:
        first = client.v1.payment_intents.create(_CARD, {"idempotency_key": "k"})
        assert client.v1.payment_intents.create(_CARD, {"idempotency_key": "k"}).id == first.id
        with pytest.raises(stripe.IdempotencyError):
            client.v1.payment_intents.create({**_CARD, "amount": 500}, {"idempotency_key": "k"})

    await _with_client(act)


async def test_the_rest_of_what_a_gateway_calls() -> None:
    def act(client: stripe.StripeClient) -> None:
        customer = client.v1.customers.create({"email": "jenny@example.test"})
        method = client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
        client.v1.payment_methods.attach(method.id, {"customer": customer.id})
        assert client.v1.payment_methods.retrieve("pm_card_visa").card is not None
        assert client.v1.accounts.retrieve_current().charges_enabled
        assert client.v1.balance.retrieve().object == "balance"
        assert client.v1.events.list({"type": "customer.created"}).data[0].data.object["id"] == customer.id
        endpoint = client.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/", "enabled_events": ["*"]})
        assert endpoint.secret is not None
        assert client.v1.webhook_endpoints.delete(endpoint.id).deleted
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.payment_intents.retrieve("pi_none")
        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")

    await _with_client(act)


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with listening(SandboxConfig(api_keys=("sk_test_another_key",))) as sandbox:
        with _client(sandbox) as client, pytest.raises(stripe.AuthenticationError):
            await asyncio.to_thread(client.v1.balance.retrieve)
