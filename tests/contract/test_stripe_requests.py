"""What StripeGateway sends, held against the parameters that Stripe publishes.

data/stripe_request_parameters.json is distilled from Stripe's OpenAPI document (github.com/stripe/openapi, March 2022): of
the endpoints used here, each parameter that has a short schema. The licence stands beside it.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl

import httpx2
import jsonschema
import pytest

from domain.currencies import Currency
from domain.money import Money
from domain.payments.refund import RefundReason
from domain.payments.transaction import CaptureMethod
from domain.reconciliation.records import Window
from gateways.stripe.gateway import StripeGateway
from gateways.stripe.records import StripeRecords
from tests.contract.stripe_wire import (
    CARD,
    TEN_EUROS,
    Body,
    Wire,
    charged_intent,
    gateway_over,
    intent,
    ok,
    order,
    records_over,
    refund,
    refund_order,
)

PARAMETERS = json.loads((Path(__file__).parent / "data" / "stripe_request_parameters.json").read_text("utf-8"))

METHOD: Body = {"id": "pm_1", "type": "card", "card": CARD}
LIST: Body = {"object": "list", "data": [], "has_more": False}
LABEL = "txn_00000000000000000000000000000001"
EXPANDED = {"expand[0]": "latest_charge.balance_transaction", "expand[1]": "payment_method"}

Act = Callable[[StripeGateway], Awaitable[object]]
CREATED = {
    "amount": "1000",
    "currency": "eur",
    "payment_method": "pm_card_visa",
    "payment_method_types[0]": "card",
    "capture_method": "automatic",
    "metadata[florin_transaction_id]": LABEL,
    **EXPANDED,
}
REFUNDED = {
    "payment_intent": "pi_1",
    "amount": "400",
    "metadata[florin_refund_id]": "re_00000000000000000000000000000002",
    "metadata[florin_transaction_id]": LABEL,
    "expand[0]": "balance_transaction",
}


def _refunding(reason: RefundReason) -> Act:
    return lambda gateway: gateway.refund_charge(refund_order(reason=reason), key="k")


CASES: dict[str, tuple[Act, Body, str, dict[str, str]]] = {
    "create": (
        lambda gateway: gateway.create_charge(order(), key="k"),
        intent("requires_confirmation"),
        "POST /v1/payment_intents",
        CREATED,
    ),
    "create, captured later, described": (
        lambda gateway: gateway.create_charge(
            order(capture_method=CaptureMethod.MANUAL, description="Two teas & a bun"), key="k"
        ),
        intent("requires_confirmation"),
        "POST /v1/payment_intents",
        {**CREATED, "capture_method": "manual", "description": "Two teas & a bun"},
    ),
    "create in yen": (
        lambda gateway: gateway.create_charge(order(money=Money(1000, Currency.JPY)), key="k"),
        intent("requires_confirmation"),
        "POST /v1/payment_intents",
        {**CREATED, "currency": "jpy"},
    ),
    "confirm": (
        lambda gateway: gateway.confirm_charge("pi_1", return_url=None, key="k"),
        charged_intent(),
        "POST /v1/payment_intents/{intent}/confirm",
        EXPANDED,
    ),
    "confirm and return": (
        lambda gateway: gateway.confirm_charge("pi_1", return_url="https://shop.test/done?a=1&b=2", key="k"),
        charged_intent(),
        "POST /v1/payment_intents/{intent}/confirm",
        {**EXPANDED, "return_url": "https://shop.test/done?a=1&b=2"},
    ),
    "capture": (
        lambda gateway: gateway.capture_charge("pi_1", TEN_EUROS, key="k"),
        charged_intent(),
        "POST /v1/payment_intents/{intent}/capture",
        {**EXPANDED, "amount_to_capture": "1000"},
    ),
    "cancel": (
        lambda gateway: gateway.cancel_charge("pi_1", key="k"),
        intent("canceled"),
        "POST /v1/payment_intents/{intent}/cancel",
        EXPANDED,
    ),
    "refund": (
        lambda gateway: gateway.refund_charge(refund_order(), key="k"),
        refund(),
        "POST /v1/refunds",
        REFUNDED,
    ),
    **{
        f"refund, {reason}": (
            _refunding(reason),
            refund(),
            "POST /v1/refunds",
            {**REFUNDED, "reason": reason.lower()},
        )
        for reason in RefundReason
    },
    "look up a charge": (
        lambda gateway: gateway.look_up_charge("pi_1"),
        intent(),
        "GET /v1/payment_intents/{intent}",
        EXPANDED,
    ),
    "look up a refund": (
        lambda gateway: gateway.look_up_refund("re_1"),
        refund(),
        "GET /v1/refunds/{refund}",
        {"expand[0]": "balance_transaction"},
    ),
    "list refunds": (
        lambda gateway: gateway.list_refunds("pi_1"),
        LIST,
        "GET /v1/refunds",
        {"payment_intent": "pi_1", "limit": "100", "expand[0]": "data.balance_transaction"},
    ),
    "find a payment method": (
        lambda gateway: gateway.find_payment_method("pm_1"),
        METHOD,
        "GET /v1/payment_methods/{payment_method}",
        {},
    ),
}


@pytest.mark.parametrize(("act", "answer", "endpoint", "expected"), CASES.values(), ids=CASES.keys())
async def test_the_parameters_are_stripes(act: Act, answer: Body, endpoint: str, expected: dict[str, str]) -> None:
    wire = Wire(ok(answer))
    await act(gateway_over(wire))
    [request] = wire.requests
    assert wire.form() == expected
    verb, _, template = endpoint.partition(" ")
    assert request.method == verb
    assert re.fullmatch(re.sub(r"\{\w+\}", r"[a-z]+_\\w+", template), request.url.path)
    jsonschema.validate(_nested(request), PARAMETERS[endpoint])
    assert wire.keys == (["k"] if verb == "POST" else [None])


HOUR = Window(datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, 13, tzinfo=UTC))
LISTED = {"limit": "100", "created[gte]": "1795176000", "created[lt]": "1795179600"}

READS: dict[str, tuple[Callable[[StripeRecords], AsyncIterator[object]], str, dict[str, str]]] = {
    "charges": (
        lambda records: records.charges(HOUR),
        "/v1/payment_intents",
        {**LISTED, "expand[0]": "data.latest_charge.balance_transaction"},
    ),
    "refunds": (
        lambda records: records.refunds(HOUR),
        "/v1/refunds",
        {**LISTED, "expand[0]": "data.balance_transaction"},
    ),
    "disputes": (lambda records: records.disputes(HOUR), "/v1/disputes", LISTED),
    "balance entries": (
        lambda records: records.balance_entries(HOUR),
        "/v1/balance_transactions",
        {**LISTED, "expand[0]": "data.source"},
    ),
}


@pytest.mark.parametrize(("read", "path", "expected"), READS.values(), ids=READS.keys())
async def test_the_parameters_of_lists_are_stripes(
    read: Callable[[StripeRecords], AsyncIterator[object]], path: str, expected: dict[str, str]
) -> None:
    wire = Wire(ok(LIST))
    assert [found async for found in read(records_over(wire))] == []
    [request] = wire.requests
    assert wire.paths == [f"GET {path}"]
    assert wire.form() == expected
    jsonschema.validate(_nested(request), PARAMETERS[f"GET {path}"])


def test_the_published_parameters_refuse_what_stripe_refuses() -> None:
    """The oracle itself: it knows its parameters, and no others."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"amount": 1, "currency": "eur", "colour": "red"}, PARAMETERS["POST /v1/payment_intents"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"currency": "eur"}, PARAMETERS["POST /v1/payment_intents"])


_NUMBERS = frozenset({"amount", "amount_to_capture", "limit", "created[gte]", "created[lt]"})


def _nested(request: httpx2.Request) -> dict[str, object]:
    """The parameters as the JSON that the schemas speak of: `a[b]` is an object, `a[0]` a list, digits are numbers."""
    nested: dict[str, object] = {}
    lists: dict[str, list[object]] = {}
    for name, text in parse_qsl(request.content.decode() or request.url.query.decode(), keep_blank_values=True):
        value: object = int(text) if name in _NUMBERS else text
        outer, _, inner = name.rstrip("]").partition("[")
        if not inner:
            nested[outer] = value
        elif inner.isdigit():
            lists.setdefault(outer, []).append(value)
        else:
            below = nested.setdefault(outer, {})
            assert isinstance(below, dict)
            below[inner] = value
    return {**nested, **lists}
