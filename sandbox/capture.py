"""Taking the money that was held, or giving it back: capture, cancellation, and the lapse of a hold.

What is not captured is released without a trace in refunds or the ledger: since API version 2025-03-31.basil neither a
partial capture nor a cancellation makes a refund.
"""

from sandbox.cards import card_by_name
from sandbox.charges import settle_ledger
from sandbox.currencies import check_multiple, spoken
from sandbox.errors import ApiError, invalid, unexpected_state
from sandbox.operation import Answer, Call, Endpoint, Operation, TimerAct, merge_metadata
from sandbox.parameters import Choice, Fields, Flag, Integer, Metadata, Text, Unsupported
from sandbox.rendering import render
from sandbox.store import Record

_CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")


def _capture(op: Operation, call: Call) -> Answer:
    intent = op.require("payment_intent", call.path["intent"], "intent")
    status = intent.body["status"]
    if status == "succeeded":
        raise unexpected_state(
            "This PaymentIntent could not be captured because it has already been captured.", render(op, intent)
        )
    if status != "requires_capture":
        raise unexpected_state(
            f"This PaymentIntent could not be captured because it has a status of {status}. Only a PaymentIntent with "
            "one of the following statuses may be captured: requires_capture.",
            render(op, intent),
        )
    params = call.params
    if params.get("final_capture") is False:
        raise invalid("This PaymentIntent does not support multiple captures.", param="final_capture")
    capturable: int = intent.body["amount_capturable"]
    currency = intent.body["currency"]
    amount = params.get("amount_to_capture", capturable)
    check_multiple(amount, currency, "amount_to_capture")
    if amount > capturable:
        raise ApiError(
            400,
            f"The amount to capture ({spoken(amount, currency)}) is greater than the amount that can be captured "
            f"({spoken(capturable, currency)}).",
            code="amount_too_large",
            param="amount_to_capture",
        )
    if "metadata" in params:
        intent.body["metadata"] = merge_metadata(intent.body["metadata"], params["metadata"])
    if "statement_descriptor_suffix" in params:
        intent.body["statement_descriptor_suffix"] = params["statement_descriptor_suffix"]
    charge = op.require("charge", intent.body["latest_charge"], "id")
    payment_method = op.require("payment_method", charge.body["payment_method"], "payment_method")
    charge.body |= {"amount_captured": amount, "captured": True}
    settle_ledger(op, intent, charge, card_by_name(payment_method.private["card"]))
    intent.body |= {"amount_capturable": 0, "amount_received": amount, "status": "succeeded"}
    op.save(charge)
    op.save(intent)
    op.emit("charge.captured", render(op, charge))
    op.emit("payment_intent.succeeded", render(op, intent))
    return intent


def _cancel(op: Operation, call: Call) -> Answer:
    intent = op.require("payment_intent", call.path["intent"], "intent")
    status = intent.body["status"]
    if status not in _CANCELABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one "
            f"of the following statuses may be canceled: {', '.join(_CANCELABLE)}.",
            render(op, intent),
        )
    cancel(op, intent, call.params.get("cancellation_reason"))
    return intent


def cancel(op: Operation, intent: Record, reason: str | None) -> None:
    """Money that was held is released. That is no refund: the charge stays as it was, uncaptured."""
    intent.body |= {
        "amount_capturable": 0,
        "canceled_at": op.now(),
        "cancellation_reason": reason,
        "next_action": None,
        "status": "canceled",
    }
    op.save(intent)
    op.emit("payment_intent.canceled", render(op, intent))


def _expire(op: Operation, intent: Record) -> None:
    if intent.body["status"] == "requires_capture":
        charge = op.require("charge", intent.body["latest_charge"], "id")
        op.emit("charge.expired", render(op, charge))
        cancel(op, intent, "expired")


TIMERS: dict[str, TimerAct] = {"payment_intent.expire": _expire}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/payment_intents/{intent}/capture",
        _capture,
        "payment_intent",
        Fields(
            {
                "amount_to_capture": Integer(minimum=1),
                "application_fee_amount": Unsupported(),
                "final_capture": Flag(),
                "metadata": Metadata(),
                "statement_descriptor": Unsupported(),
                "statement_descriptor_suffix": Text(length_max=22),
                "transfer_data": Unsupported(),
            }
        ),
    ),
    Endpoint(
        "POST",
        "/v1/payment_intents/{intent}/cancel",
        _cancel,
        "payment_intent",
        Fields({"cancellation_reason": Choice(("duplicate", "fraudulent", "requested_by_customer", "abandoned"))}),
    ),
)
