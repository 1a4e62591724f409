"""What of Stripe's messages may be shown, checked against what must never be."""

import json

import pytest

from gateways.stripe.excerpt import excerpt

OBJECT = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "requires_action",
    "amount": 1000,
    "currency": "eur",
    "client_secret": "pi_1_secret_2",
    "description": "Ada's tea",
    "receipt_email": "ada@example.com",
    "latest_charge": {"id": "ch_1", "payment_method_details": {"card": {"last4": "4242"}}},
    "metadata": {"florin_transaction_id": "txn_" + "0" * 32, "note": "private"},
}


def shown(**changes: object) -> object:
    return excerpt(json.dumps({"id": "evt_1", "type": "t", "data": {"object": OBJECT | changes}}).encode())


def test_ids_states_amounts_and_our_own_labels_are_shown_and_nothing_else() -> None:
    assert shown() == {
        "id": "evt_1",
        "type": "t",
        "data": {
            "object": {
                "id": "pi_1",
                "object": "payment_intent",
                "status": "requires_action",
                "amount": 1000,
                "currency": "eur",
                "latest_charge": "ch_1",
                "metadata": {"florin_transaction_id": "txn_" + "0" * 32},
            },
            "previous_attributes": {},
        },
    }


@pytest.mark.parametrize(
    "value", ["pi_1_secret_2", "4242424242424242", "two words", "a@b", {"last4": "4242"}, ["4242"], 1.5, "", "x" * 256]
)
def test_a_field_that_holds_what_it_should_not_is_left_out(value: object) -> None:
    assert '"reason"' not in json.dumps(shown(reason=value))
    assert '"charge"' not in json.dumps(shown(charge=value))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b"{"])
def test_what_is_no_event_shows_nothing(body: bytes) -> None:
    assert excerpt(body) == {}
