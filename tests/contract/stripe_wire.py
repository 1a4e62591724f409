"""Stripe's side of the wire, scripted: what the next requests are answered with, and what they said."""

import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import parse_qsl
from uuid import UUID

import httpx2

from domain.currencies import Currency
from domain.ids import IdKind, RefundId, TransactionId, encode
from domain.money import Money
from domain.payments.gateway import ChargeOrder, RefundOrder
from domain.payments.refund import RefundReason
from domain.payments.transaction import CaptureMethod
from gateways.stripe.gateway import StripeConfig, StripeGateway
from gateways.stripe.records import StripeRecords

Body: TypeAlias = dict[str, object]
Reply: TypeAlias = "httpx2.Response | Exception | Callable[[httpx2.Request], Awaitable[httpx2.Response]]"

SECRET_KEY = "sk_test_contract_suite"
TRANSACTION = TransactionId(UUID(int=1))
REFUND = RefundId(UUID(int=2))
TEN_EUROS = Money(1000, Currency.EUR)
CARD: Body = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2040}


class Wire:
    """A transport that answers from a script and keeps the requests. A request beyond the script fails the test."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[httpx2.Request] = []
        self._replies = deque(replies)

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.requests]

    def form(self, number: int = 0) -> dict[str, str]:
        """The parameters of a request; none may stand there twice."""
        request = self.requests[number]
        pairs = parse_qsl(request.content.decode() or request.url.query.decode(), keep_blank_values=True)
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        assert self._replies, f"nobody expected {request.method} {request.url.path}"
        reply = self._replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, httpx2.Response) else await reply(request)


def gateway_over(wire: Wire, *, deadline_seconds: float = 30.0) -> StripeGateway:
    config = StripeConfig(secret_key=SECRET_KEY, deadline_seconds=deadline_seconds)
    return StripeGateway(config, transport=wire.transport)


def records_over(wire: Wire, *, deadline_seconds: float = 30.0) -> StripeRecords:
    config = StripeConfig(secret_key=SECRET_KEY, deadline_seconds=deadline_seconds)
    return StripeRecords(config, transport=wire.transport, first_pause_seconds=0)


def order(**changes: object) -> ChargeOrder:
    values: dict[str, object] = {
        "transaction_id": TRANSACTION,
        "money": TEN_EUROS,
        "payment_method_id": "pm_card_visa",
        "capture_method": CaptureMethod.AUTOMATIC,
        "description": None,
        **changes,
    }
    return ChargeOrder(**values)  # type: ignore[arg-type]  # the values are checked where they are used


def refund_order(*, minor_units: int = 400, reason: RefundReason | None = None) -> RefundOrder:
    return RefundOrder(
        refund_id=REFUND,
        transaction_id=TRANSACTION,
        charge_reference="pi_1",
        money=Money(minor_units, Currency.EUR),
        reason=reason,
    )


def intent(status: str = "succeeded", **changes: object) -> Body:
    """A PaymentIntent as Stripe sends it with everything expanded that the gateway asks for."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": status,
        "amount": 1000,
        "amount_received": 1000 if status == "succeeded" else 0,
        "currency": "eur",
        "livemode": False,
        "metadata": {"florin_transaction_id": encode(IdKind.TRANSACTION, TRANSACTION)},
        "client_secret": "pi_1_secret_of_the_payer",
        "last_payment_error": None,
        "next_action": None,
        "payment_method": {"id": "pm_1", "object": "payment_method", "type": "card", "card": CARD},
        "latest_charge": None,
        **changes,
    }


def charged_intent() -> Body:
    entry = {"id": "txn_1", "object": "balance_transaction", "fee": 59, "currency": "eur"}
    return intent("succeeded", latest_charge={"id": "ch_1", "object": "charge", "balance_transaction": entry})


def refund(status: str = "succeeded", **changes: object) -> Body:
    return {
        "id": "re_1",
        "object": "refund",
        "status": status,
        "amount": 400,
        "currency": "eur",
        "payment_intent": "pi_1",
        "charge": "ch_1",
        "reason": None,
        "metadata": {"florin_refund_id": encode(IdKind.REFUND, REFUND)},
        **changes,
    }


def ok(body: object, **headers: str) -> httpx2.Response:
    return raw(200, json.dumps(body).encode(), **headers)


def raw(status: int, content: bytes, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, content=content, headers={"Request-Id": "req_1", **named})


def problem(
    status: int,
    code: str | None = None,
    *,
    kind: str = "invalid_request_error",
    replayed: bool = False,
    **fields: object,
) -> httpx2.Response:
    """An error as docs.stripe.com/api/errors describes it."""
    error = {"type": kind, "message": "What Stripe says.", **({} if code is None else {"code": code}), **fields}
    headers = {"Idempotent_Replayed": "true"} if replayed else {}
    return raw(status, json.dumps({"error": error}).encode(), **headers)


def decline(decline_code: str = "generic_decline") -> httpx2.Response:
    error = {"type": "card_error", "code": "card_declined", "decline_code": decline_code, "message": "Declined."}
    declined = intent("requires_payment_method", payment_method=None, last_payment_error=error)
    return problem(402, "card_declined", kind="card_error", decline_code=decline_code, payment_intent=declined)


def copy_of(reply: Reply) -> Reply:
    """A response can be sent once only."""
    if isinstance(reply, httpx2.Response):
        return httpx2.Response(reply.status_code, content=reply.content, headers=reply.headers)
    return reply
