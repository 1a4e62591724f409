"""Every input that must be refused: with a code that a program can act on, and without a trace."""

import json
from typing import Any

import pytest

from tests.api.application import PAY, REFUND, Florin, Person, payment
from tests.support.captured_logs import captured_logs

CARD = "4242424242424242"
SPACED_CARD = "4000 0000 0000 9995"
LIST = "query List($filter: TransactionFilter) { transactions(filter: $filter) { totalCount } }"

# The change to a good payment, the code, and the path that is named.
REFUSED_PAYMENTS: dict[str, tuple[dict[str, object], str, list[str]]] = {
    "zero": ({"money": {"currency": "USD", "amount": "0.00"}}, "INVALID_AMOUNT", ["input", "money"]),
    "zero minor units": ({"money": {"currency": "USD", "amountMinor": 0}}, "INVALID_AMOUNT", ["input", "money"]),
    "negative": ({"money": {"currency": "USD", "amount": "-10.00"}}, "INVALID_AMOUNT", ["input", "money"]),
    "negative minor units": ({"money": {"currency": "USD", "amountMinor": -1}}, "INVALID_AMOUNT", ["input", "money"]),
    "three decimals of dollars": (
        {"money": {"currency": "USD", "amount": "10.001"}},
        "INVALID_AMOUNT",
        ["input", "money", "amount"],
    ),
    "decimals of yen": (
        {"money": {"currency": "JPY", "amount": "1000.5"}},
        "INVALID_AMOUNT",
        ["input", "money", "amount"],
    ),
    "four decimals of dinars": (
        {"money": {"currency": "KWD", "amount": "10.0001"}},
        "INVALID_AMOUNT",
        ["input", "money", "amount"],
    ),
    "fils that no card carries": (
        {"money": {"currency": "KWD", "amount": "10.001"}},
        "INVALID_AMOUNT",
        ["input", "money"],
    ),
    "aurar that do not exist": (
        {"money": {"currency": "ISK", "amount": "500.50"}},
        "INVALID_AMOUNT",
        ["input", "money"],
    ),
    "more than eight digits": (
        {"money": {"currency": "USD", "amountMinor": 100_000_000}},
        "INVALID_AMOUNT",
        ["input", "money"],
    ),
    "as much as fits": ({"money": {"currency": "USD", "amountMinor": 2**63 - 1}}, "INVALID_AMOUNT", ["input", "money"]),
    "less than the processor takes": (
        {"money": {"currency": "USD", "amount": "0.49"}},
        "INVALID_AMOUNT",
        ["input", "money"],
    ),
    "less than the processor takes in yen": (
        {"money": {"currency": "JPY", "amount": "49"}},
        "INVALID_AMOUNT",
        ["input", "money"],
    ),
    "both amounts": (
        {"money": {"currency": "USD", "amount": "10.00", "amountMinor": 1000}},
        "INVALID_AMOUNT",
        ["input", "money"],
    ),
    "neither amount": ({"money": {"currency": "USD"}}, "INVALID_AMOUNT", ["input", "money"]),
    "an empty key": ({"idempotencyKey": ""}, "INVALID_IDEMPOTENCY_KEY", ["input", "idempotencyKey"]),
    "a long key": ({"idempotencyKey": "k" * 256}, "INVALID_IDEMPOTENCY_KEY", ["input", "idempotencyKey"]),
    "a card number as the key": ({"idempotencyKey": CARD}, "CARD_NUMBER_REFUSED", ["input", "idempotencyKey"]),
    "a card number in the key": (
        {"idempotencyKey": f"order-{SPACED_CARD}"},
        "CARD_NUMBER_REFUSED",
        ["input", "idempotencyKey"],
    ),
    "a card number as the payment method": (
        {"paymentMethodId": CARD},
        "INVALID_PAYMENT_METHOD",
        ["input", "paymentMethodId"],
    ),
    "a card number in the payment method": (
        {"paymentMethodId": f"pm_{CARD}"},
        "INVALID_PAYMENT_METHOD",
        ["input", "paymentMethodId"],
    ),
    "a card number in the description": (
        {"description": f"card {SPACED_CARD}, exp 12/30"},
        "CARD_NUMBER_REFUSED",
        ["input", "description"],
    ),
    "a card number in the metadata": ({"metadata": {"card": CARD}}, "CARD_NUMBER_REFUSED", ["input", "metadata"]),
    "a card number as a number": ({"metadata": {"card": int(CARD)}}, "CARD_NUMBER_REFUSED", ["input", "metadata"]),
    "a card number as a name": ({"metadata": {CARD: True}}, "CARD_NUMBER_REFUSED", ["input", "metadata"]),
    "a card number deep in the metadata": (
        {"metadata": {"a": [{"b": [SPACED_CARD]}]}},
        "CARD_NUMBER_REFUSED",
        ["input", "metadata"],
    ),
    "a card number in the return URL": (
        {"returnUrl": f"https://shop.example/?card={CARD}"},
        "CARD_NUMBER_REFUSED",
        ["input", "returnUrl"],
    ),
    "an unknown payment method": (
        {"paymentMethodId": "pm_0123456789abcdefghijklmn"},
        "INVALID_PAYMENT_METHOD",
        ["input", "paymentMethodId"],
    ),
    "no payment method": ({"paymentMethodId": ""}, "INVALID_PAYMENT_METHOD", ["input", "paymentMethodId"]),
    "a payment method that is a path": (
        {"paymentMethodId": "../charges"},
        "INVALID_PAYMENT_METHOD",
        ["input", "paymentMethodId"],
    ),
    "a payment method with an escape": (
        {"paymentMethodId": "pm_card_visa%00"},
        "INVALID_PAYMENT_METHOD",
        ["input", "paymentMethodId"],
    ),
    "a long description": ({"description": "d" * 1001}, "INVALID_TEXT", ["input", "description"]),
    "a NUL in the description": ({"description": "a\x00b"}, "INVALID_TEXT", ["input", "description"]),
    "a NUL in the key": ({"idempotencyKey": "a\x00b"}, "INVALID_TEXT", ["input", "idempotencyKey"]),
    "a NUL in the payment method": (
        {"paymentMethodId": "pm_\x00"},
        "INVALID_PAYMENT_METHOD",
        ["input", "paymentMethodId"],
    ),
    "a NUL in a metadata value": ({"metadata": {"a": "\x00"}}, "INVALID_TEXT", ["input", "metadata"]),
    "a NUL in a metadata name": ({"metadata": {"\x00": 1}}, "INVALID_TEXT", ["input", "metadata"]),
    "a NUL in the return URL": ({"returnUrl": "https://a.example/\x00"}, "INVALID_TEXT", ["input", "returnUrl"]),
    "a return URL of a script": ({"returnUrl": "javascript:alert(1)"}, "INVALID_TEXT", ["input", "returnUrl"]),
    "a list as metadata": ({"metadata": [1]}, "INVALID_METADATA", ["input", "metadata"]),
    "a text as metadata": ({"metadata": "{}"}, "INVALID_METADATA", ["input", "metadata"]),
    "large metadata": ({"metadata": {"a": "x" * 8192}}, "INVALID_METADATA", ["input", "metadata"]),
    "deep metadata": ({"metadata": {"a": [[[[[1]]]]]}}, "INVALID_METADATA", ["input", "metadata"]),
}

# What does not even fit the schema: the change, and a word of the message.
MALFORMED_PAYMENTS: dict[str, tuple[dict[str, object], str]] = {
    "an unknown currency": ({"money": {"currency": "XXX", "amount": "10.00"}}, "CurrencyCode"),
    "a currency in small letters": ({"money": {"currency": "usd", "amount": "10.00"}}, "CurrencyCode"),
    "no currency": ({"money": {"amount": "10.00"}}, "currency"),
    "no money": ({"money": None}, "money"),
    "no key": ({"idempotencyKey": None}, "idempotencyKey"),
    "no payment method": ({"paymentMethodId": None}, "paymentMethodId"),
    "a float": ({"money": {"currency": "USD", "amount": 10.5}}, "Decimal"),
    "an exponent": ({"money": {"currency": "USD", "amount": "1e3"}}, "Decimal"),
    "not a number": ({"money": {"currency": "USD", "amount": "NaN"}}, "Decimal"),
    "infinity": ({"money": {"currency": "USD", "amount": "Infinity"}}, "Decimal"),
    "Arabic digits": ({"money": {"currency": "USD", "amount": "١٠"}}, "Decimal"),
    "a line break after the amount": ({"money": {"currency": "USD", "amount": "10.00\n"}}, "Decimal"),
    "an empty amount": ({"money": {"currency": "USD", "amount": ""}}, "Decimal"),
    "true": ({"money": {"currency": "USD", "amountMinor": True}}, "BigInt"),
    "a fraction of a cent": ({"money": {"currency": "USD", "amountMinor": "10.5"}}, "BigInt"),
    "more than 64 bits": ({"money": {"currency": "USD", "amountMinor": "9223372036854775808"}}, "BigInt"),
    "a number as the key": ({"idempotencyKey": 7}, "String"),
    "a card number as a number": ({"paymentMethodId": int(CARD)}, "String"),
    "a field of no input": ({"cardNumber": CARD}, "cardNumber"),
    "an unknown capture method": ({"captureMethod": "LATER"}, "CaptureMethod"),
}


@pytest.mark.parametrize(("change", "code", "path"), REFUSED_PAYMENTS.values(), ids=REFUSED_PAYMENTS.keys())
async def test_a_payment_is_refused_without_a_trace(
    florin: Florin, ada: Person, change: dict[str, object], code: str, path: list[str]
) -> None:
    before = await florin.traces()
    with captured_logs() as logs:
        payload = await ada.pay(**change)
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [(code, path)]
    assert payload["errors"][0]["retryable"] is False
    assert payload["transaction"] is None
    assert payload["replayed"] is False
    assert await florin.traces() == before
    _assert_no_card_in(logs.text)


@pytest.mark.parametrize(("change", "word"), MALFORMED_PAYMENTS.values(), ids=MALFORMED_PAYMENTS.keys())
async def test_a_payment_that_does_not_fit_the_schema_is_bad_input(
    florin: Florin, ada: Person, change: dict[str, object], word: str
) -> None:
    before = await florin.traces()
    with captured_logs() as logs:
        error = await ada.refused(PAY, {"input": payment(**change)})
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert word in error["message"]
    assert await florin.traces() == before
    _assert_no_card_in(logs.text)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "INVALID_IDEMPOTENCY_KEY"),
        ("k" * 256, "INVALID_IDEMPOTENCY_KEY"),
        (CARD, "CARD_NUMBER_REFUSED"),
        ("\x00", "INVALID_TEXT"),
    ],
)
@pytest.mark.parametrize("mutation", ["refund", "capture", "void"])
async def test_no_mutation_takes_a_bad_key(
    florin: Florin, ada: Person, grace: Person, mutation: str, key: str, code: str
) -> None:
    transaction = await ada.paid(captureMethod="AUTOMATIC" if mutation == "refund" else "MANUAL")
    before = await florin.traces()
    act: Any = getattr(grace, mutation)  # Any: three methods of different arguments
    with captured_logs() as logs:
        payload = await act(transaction["id"], key)
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [(code, ["input", "idempotencyKey"])]
    assert payload["transaction"] is None
    assert await florin.traces() == before
    _assert_no_card_in(logs.text)


async def test_a_refund_needs_a_key(florin: Florin, ada: Person) -> None:
    taken = await ada.paid()
    before = await florin.traces()
    error = await ada.refused(REFUND, {"input": {"transactionId": taken["id"]}})
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert await florin.traces() == before


@pytest.mark.parametrize("text", [CARD, f"find {SPACED_CARD}", "\x00", "t" * 201])
async def test_a_search_text_is_checked_too(ada: Person, text: str) -> None:
    with captured_logs() as logs:
        error = await ada.refused(LIST, {"filter": {"text": text}})
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert "filter.text" in error["message"]
    _assert_no_card_in(logs.text)


@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "\\udc00\\ud800"])
async def test_a_lone_surrogate_in_json_is_bad_input(florin: Florin, ada: Person, escape: str) -> None:
    good = json.dumps({"query": PAY, "variables": {"input": payment(description="HERE")}})
    before = await florin.traces()
    for where in ("HERE", "Pay($input"):
        response = await ada.post(good.replace(where, escape, 1).encode())
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    assert await florin.traces() == before


@pytest.mark.parametrize(
    ("escape", "code"),
    [
        (r"\u0000", "INVALID_TEXT"),
        (r"\u{0}", "INVALID_TEXT"),
        (r"\uD800", None),
        (r"\uDC00\uD800", None),
        (r"\u{D800}", None),
        (r"\u{110000}", None),
        ("\x00", "INVALID_TEXT"),
    ],
)
async def test_an_unstorable_character_as_a_graphql_literal_is_refused(
    florin: Florin, ada: Person, escape: str, code: str | None
) -> None:
    document = f"""mutation {{ createPayment(input: {{
      idempotencyKey: "k", paymentMethodId: "pm_card_visa", description: "a{escape}b",
      money: {{currency: USD, amount: "10.00"}}
    }}) {{ errors {{ code }} transaction {{ id }} }} }}"""
    before = await florin.traces()
    if code is None:
        assert (await ada.refused(document))["extensions"]["code"] == "BAD_INPUT"
    else:
        assert (await ada.ask(document))["createPayment"] == {"errors": [{"code": code}], "transaction": None}
    assert await florin.traces() == before


async def test_a_pair_of_surrogates_is_a_character(ada: Person) -> None:
    body = json.dumps({"query": PAY, "variables": {"input": payment(description="paid \U0001f4b6")}})
    assert r"\ud83d\udcb6" in body
    answer = (await ada.post(body.encode())).json()
    assert answer["data"]["createPayment"]["transaction"]["description"] == "paid \U0001f4b6"


@pytest.mark.parametrize(
    "text",
    [
        "order 2026-11-21 10:00, 4 items",
        "0123456789012",
        "4242424242424241",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "call +44 20 7946 0958",
    ],
)
async def test_what_is_no_card_number_is_taken(ada: Person, text: str) -> None:
    assert (await ada.paid(text, description=text, metadata={text: text}))["description"] == text


def _assert_no_card_in(text: str) -> None:
    assert text, "Nothing was logged at all."
    assert CARD not in text
    assert SPACED_CARD not in text
    assert SPACED_CARD.replace(" ", "") not in text
