"""Refunds. https://docs.stripe.com/api/refunds

The fee of a charge is kept when it is refunded.
"""

from sandbox.balance import book
from sandbox.currencies import check_multiple, spoken
from sandbox.errors import ApiError, invalid
from sandbox.listing import PAGING_AND_CREATED, find_page, links_asked_for
from sandbox.operation import Answer, Call, Endpoint, Operation, TimerAct, changed, merge_metadata
from sandbox.parameters import Choice, Email, Fields, Integer, Metadata, Text, Unsupported
from sandbox.payment_methods import card_of
from sandbox.rendering import render
from sandbox.store import Record
from sandbox.wire import Json

_SENT_TO_CARD = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}


def _create(op: Operation, call: Call) -> Answer:
    params = call.params
    charge = _charge_to_refund(op, params)
    amount = _amount_to_refund(charge, params)
    payment_method = op.require("payment_method", charge.body["payment_method"], "payment_method")
    outcome = card_of(payment_method).refund
    metadata = merge_metadata({}, params.get("metadata", {}))
    refund = _add(op, charge, amount, params.get("reason"), metadata)
    entry = book(op, source=refund, entry_type="refund", amount=-amount)
    refund.body["balance_transaction"] = entry.id
    if outcome == "pending_first":
        refund.body |= {"pending_reason": "processing", "status": "pending"}
        op.schedule("refund.succeed", refund.id, op.settlement_delay_seconds)
    elif outcome == "fails_later":
        op.schedule("refund.fail", refund.id, op.settlement_delay_seconds)
    op.save(refund)
    op.save(charge)
    op.emit("refund.created", render(op, refund))
    op.emit("charge.refunded", render(op, charge))
    return refund


def _charge_to_refund(op: Operation, params: Json) -> Record:
    if "charge" not in params and "payment_intent" not in params:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
            param="payment_intent",
        )
    if "payment_intent" not in params:
        return op.require("charge", params["charge"], "charge")
    intent = op.require("payment_intent", params["payment_intent"], "payment_intent")
    charge = op.get("charge", intent.body["latest_charge"])
    if charge is None or charge.body["status"] != "succeeded" or not charge.body["captured"]:
        raise ApiError(
            400,
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            code="payment_intent_unexpected_state" if intent.body["status"] != "succeeded" else None,
            param="payment_intent",
        )
    if params.get("charge", charge.id) != charge.id:
        raise ApiError(
            400, f"The charge {params['charge']} does not belong to the PaymentIntent {intent.id}.", param="charge"
        )
    return charge


def _amount_to_refund(charge: Record, params: Json) -> int:
    body = charge.body
    if body["status"] != "succeeded":
        raise ApiError(400, f"Charge {charge.id} has not succeeded, so it cannot be refunded.", param="charge")
    if not body["captured"]:
        raise ApiError(
            400,
            f"Charge {charge.id} has not been captured. Cancel its PaymentIntent to release the money.",
            param="charge",
        )
    if body["disputed"] and not charge.private.get("refundable_while_disputed"):
        raise ApiError(400, f"Charge {charge.id} has been charged back; cannot issue a refund.", code="charge_disputed")
    left = body["amount_captured"] - body["amount_refunded"]
    if left == 0:
        raise ApiError(400, f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
    amount: int = params.get("amount", left)
    check_multiple(amount, body["currency"])
    if amount > left:
        whole = "unrefunded amount on charge" if body["amount_refunded"] else "charge amount"
        raise ApiError(
            400,
            f"Refund amount ({spoken(amount, body['currency'])}) is greater than {whole} "
            f"({spoken(left, body['currency'])})",
            param="amount",
        )
    return amount


def _add(op: Operation, charge: Record, amount: int, reason: str | None, metadata: Json) -> Record:
    intent_id = charge.body["payment_intent"]
    body: Json = {
        "amount": amount,
        "balance_transaction": None,
        "charge": charge.id,
        "currency": charge.body["currency"],
        "customer": None,
        "customer_account": None,
        "destination_details": {"card": _SENT_TO_CARD, "type": "card"},
        "metadata": metadata,
        "payment_intent": intent_id,
        "payment_method": charge.body["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    refund = op.add("refund", body, links={"charge": charge.id, "payment_intent": intent_id})
    _count(charge, amount)
    return refund


def _count(charge: Record, amount: int) -> None:
    charge.body["amount_refunded"] += amount
    charge.body["refunded"] = charge.body["amount_refunded"] == charge.body["amount_captured"]
    charge.private["refund_attempted"] = True


def _undo(op: Operation, refund: Record, status: str, details: Json) -> None:
    """The money came back: the charge may be refunded again."""
    charge = op.require("charge", refund.body["charge"], "charge")
    _count(charge, -refund.body["amount"])
    op.save(charge)
    entry = book(op, source=refund, entry_type="refund_failure", amount=refund.body["amount"], available_at_once=True)
    refund.body |= {"failure_balance_transaction": entry.id, "status": status, **details}
    refund.body.pop("pending_reason", None)
    op.save(refund)


def succeed(op: Operation, refund: Record) -> None:
    if refund.body["status"] != "pending":
        return
    refund.body["status"] = "succeeded"
    del refund.body["pending_reason"]
    op.save(refund)
    _tell_updated(op, refund, {"pending_reason": "processing", "status": "pending"})


def fail(op: Operation, refund: Record) -> None:
    if refund.body["status"] not in {"pending", "succeeded"}:
        return
    previous = {"status": refund.body["status"]}
    _undo(op, refund, "failed", {"failure_reason": "expired_or_canceled_card"})
    op.emit("refund.failed", render(op, refund))
    _tell_updated(op, refund, previous)


def _tell_updated(op: Operation, refund: Record, previous: Json) -> None:
    shown = render(op, refund)
    op.emit("refund.updated", shown, previous)
    op.emit("charge.refund.updated", shown, previous)


def _retrieve(op: Operation, call: Call) -> Answer:
    return op.require("refund", call.path["refund"], "id")


def _update(op: Operation, call: Call) -> Answer:
    refund = op.require("refund", call.path["refund"], "id")
    before = render(op, refund)
    if "metadata" in call.params:
        refund.body["metadata"] = merge_metadata(refund.body["metadata"], call.params["metadata"])
        op.save(refund)
        _tell_updated(op, refund, changed(before, refund.body))
    return refund


def _cancel(op: Operation, call: Call) -> Answer:
    refund = op.require("refund", call.path["refund"], "id")
    status = refund.body["status"]
    if status not in {"pending", "requires_action"}:
        raise ApiError(400, f"Refund {refund.id} has a status of {status} and cannot be canceled.", param="refund")
    _undo(op, refund, "canceled", {})
    _tell_updated(op, refund, {"status": status})
    return refund


def _list(op: Operation, call: Call) -> Answer:
    links = links_asked_for(call.params, "payment_intent", "charge")
    return find_page(op, "refund", "/v1/refunds", call.params, links)


TIMERS: dict[str, TimerAct] = {"refund.succeed": succeed, "refund.fail": fail}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/refunds",
        _create,
        "refund",
        Fields(
            {
                "amount": Integer(minimum=1),
                "charge": Text(),
                "currency": Unsupported(),
                "customer": Unsupported(),
                "instructions_email": Email(),
                "metadata": Metadata(),
                "origin": Unsupported(),
                "payment_intent": Text(),
                "reason": Choice(("duplicate", "fraudulent", "requested_by_customer")),
                "refund_application_fee": Unsupported(),
                "reverse_transfer": Unsupported(),
            }
        ),
    ),
    Endpoint(
        "GET",
        "/v1/refunds",
        _list,
        "refund",
        Fields({**PAGING_AND_CREATED, "charge": Text(), "payment_intent": Text()}),
        answers_list=True,
    ),
    Endpoint("GET", "/v1/refunds/{refund}", _retrieve, "refund"),
    Endpoint("POST", "/v1/refunds/{refund}", _update, "refund", Fields({"metadata": Metadata()})),
    Endpoint("POST", "/v1/refunds/{refund}/cancel", _cancel, "refund"),
)
