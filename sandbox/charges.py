"""Charges: one attempt to take the money of a PaymentIntent. https://docs.stripe.com/api/charges"""

from typing import Literal

from sandbox.balance import book_charge
from sandbox.cards import Decline, SandboxCard
from sandbox.customers import SHIPPING, shipping
from sandbox.listing import PAGING, PAGING_AND_CREATED, find_page, links_asked_for
from sandbox.operation import Answer, Call, Endpoint, Operation, TimerAct, changed, merge_metadata
from sandbox.parameters import Email, Fields, Ignored, Metadata, Text
from sandbox.payment_methods import card_of
from sandbox.rendering import render
from sandbox.store import Record
from sandbox.wire import Json

ThreeDSecure = Literal["authenticated", "attempt_acknowledged"]

STATEMENT_NAME = "FLORIN SANDBOX"
_RISK_SCORES = {"normal": 12, "elevated": 69, "highest": 99}
# An authorisation that nobody captures lapses after a week.
AUTHORIZATION_SECONDS = 7 * 86_400


def attempt(
    op: Operation,
    intent: Record,
    payment_method: Record,
    decline: Decline | None,
    three_d_secure: ThreeDSecure | None = None,
) -> Record:
    """The charge of one confirmation, declined or not. It is captured at once unless the intent says otherwise."""
    card = card_of(payment_method)
    pending = card.stays_processing
    held = intent.body["capture_method"] == "manual"
    amount = intent.body["amount"]
    captured = decline is None and not held and not pending
    suffix = intent.body["statement_descriptor_suffix"]
    body: Json = {
        "amount": amount,
        "amount_captured": amount if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": payment_method.body["billing_details"],
        "calculated_statement_descriptor": f"{STATEMENT_NAME}* {suffix}"[:22] if suffix else STATEMENT_NAME,
        "captured": captured,
        "currency": intent.body["currency"],
        "customer": intent.body["customer"],
        "description": intent.body["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "metadata": dict(intent.body["metadata"]),
        "on_behalf_of": None,
        "outcome": None if pending else _outcome(card, decline),
        "paid": decline is None and not pending,
        "payment_intent": intent.id,
        "payment_method": payment_method.id,
        "payment_method_details": _payment_method_details(op, intent, payment_method, three_d_secure),
        "receipt_email": intent.body["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent.body["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": suffix,
        "status": "failed" if decline else "pending" if pending else "succeeded",
        "transfer_data": None,
        "transfer_group": intent.body["transfer_group"],
    }
    charge = op.add(
        "charge",
        body,
        links={
            "payment_intent": intent.id,
            "customer": intent.body["customer"],
            "transfer_group": intent.body["transfer_group"],
        },
    )
    if captured:
        settle_ledger(op, intent, charge, card)
    return charge


def settle_ledger(op: Operation, intent: Record, charge: Record, card: SandboxCard) -> None:
    """Book the captured money: at once, or a little later where the intent asked for asynchronous capture.

    Later is when Stripe fills in `balance_transaction` and tells it with charge.updated.
    """
    if intent.body["capture_method"] == "automatic_async" and not card.settles_at_once:
        op.schedule("charge.settle", charge.id, op.settlement_delay_seconds)
        return
    entry = book_charge(op, charge, available_at_once=card.settles_at_once)
    charge.body["balance_transaction"] = entry.id
    op.save(charge)


def _settle_later(op: Operation, charge: Record) -> None:
    if charge.body["balance_transaction"] is not None:
        return
    charge.body["balance_transaction"] = book_charge(op, charge, available_at_once=False).id
    op.save(charge)
    op.emit("charge.updated", render(op, charge), {"balance_transaction": None})


def _outcome(card: SandboxCard, decline: Decline | None) -> Json:
    outcome: Json = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": card.risk,
        "risk_score": _RISK_SCORES[card.risk],
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if decline is None:
        return outcome
    outcome |= {
        "advice_code": decline.advice,
        "network_status": "not_sent_to_network" if decline.blocked else "declined_by_network",
        "reason": "highest_risk_level" if decline.blocked else decline.decline_code,
        "seller_message": "Stripe blocked this payment as too risky."
        if decline.blocked
        else "The bank did not return any further details with this decline."
        if decline.decline_code == "generic_decline"
        else f"The bank returned the decline code `{decline.decline_code}`.",
        "type": "blocked" if decline.blocked else "issuer_declined",
    }
    if not decline.blocked:
        outcome["network_decline_code"] = "05"
    return outcome


def _payment_method_details(
    op: Operation, intent: Record, payment_method: Record, three_d_secure: ThreeDSecure | None
) -> Json:
    shown = payment_method.body["card"]
    amount = intent.body["amount"]
    card: Json = {
        "amount_authorized": amount,
        "authorization_code": None,
        "brand": shown["brand"],
        "checks": {**shown["checks"], "cvc_check": "pass", **dict(card_of(payment_method).checks)},
        "country": shown["country"],
        "exp_month": shown["exp_month"],
        "exp_year": shown["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": shown["fingerprint"],
        "funding": shown["funding"],
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": shown["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": shown["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": shown["regulated_status"],
        "three_d_secure": _three_d_secure(three_d_secure),
        "transaction_link_id": None,
        "wallet": None,
    }
    if intent.body["capture_method"] == "manual":
        card["capture_before"] = op.now() + AUTHORIZATION_SECONDS
    return {"card": card, "type": "card"}


def _three_d_secure(result: ThreeDSecure | None) -> Json | None:
    if result is None:
        return None
    return {
        "authentication_flow": "challenge" if result == "authenticated" else None,
        "electronic_commerce_indicator": "05" if result == "authenticated" else "06",
        "exemption_indicator": None,
        "result": result,
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }


def _retrieve(op: Operation, call: Call) -> Answer:
    return op.require("charge", call.path["charge"], "id")


def _update(op: Operation, call: Call) -> Answer:
    charge = op.require("charge", call.path["charge"], "id")
    before = render(op, charge)
    params = call.params
    for name in ("description", "receipt_email", "transfer_group"):
        if name in params:
            charge.body[name] = params[name]
    if "metadata" in params:
        charge.body["metadata"] = merge_metadata(charge.body["metadata"], params["metadata"])
    if "shipping" in params:
        charge.body["shipping"] = shipping(params["shipping"])
    op.save(charge)
    op.emit("charge.updated", render(op, charge), changed(before, charge.body))
    return charge


def _list(op: Operation, call: Call) -> Answer:
    links = links_asked_for(call.params, "payment_intent", "customer", "transfer_group")
    return find_page(op, "charge", "/v1/charges", call.params, links)


def _list_refunds(op: Operation, call: Call) -> Answer:
    charge = op.require("charge", call.path["charge"], "id")
    return find_page(op, "refund", f"/v1/charges/{charge.id}/refunds", call.params, {"charge": [charge.id]})


TIMERS: dict[str, TimerAct] = {"charge.settle": _settle_later}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/charges",
        _list,
        "charge",
        Fields({**PAGING_AND_CREATED, "payment_intent": Text(), "customer": Text(), "transfer_group": Text()}),
        answers_list=True,
    ),
    Endpoint("GET", "/v1/charges/{charge}", _retrieve, "charge"),
    Endpoint(
        "POST",
        "/v1/charges/{charge}",
        _update,
        "charge",
        Fields(
            {
                "description": Text(unset=True),
                "fraud_details": Ignored(),
                "metadata": Metadata(),
                "receipt_email": Email(unset=True),
                "shipping": SHIPPING,
                "transfer_group": Text(unset=True),
            }
        ),
    ),
    Endpoint("GET", "/v1/charges/{charge}/refunds", _list_refunds, "refund", Fields(PAGING), answers_list=True),
)
