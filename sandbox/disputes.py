"""Disputes: a payer takes a charge back. https://docs.stripe.com/api/disputes

As in Stripe's test mode the text `winning_evidence` or `losing_evidence` decides how a dispute ends.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sandbox.balance import book
from sandbox.currencies import check_multiple, spoken
from sandbox.errors import ApiError
from sandbox.listing import PAGING_AND_CREATED, find_page, links_asked_for
from sandbox.operation import Answer, Call, Endpoint, Operation, TimerAct, changed, merge_metadata
from sandbox.parameters import Fields, Flag, Metadata, Text, Unsupported
from sandbox.rendering import render
from sandbox.store import Criteria, Record
from sandbox.wire import Json

_EVIDENCE_FIELDS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)
# Stripe's reasons for card payments, with Visa's code for each that has one.
REASONS: Mapping[str, str | None] = {
    "credit_not_processed": "13.6",
    "duplicate": "12.6.1",
    "fraudulent": "10.4",
    "general": None,
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "subscription_canceled": "13.2",
    "unrecognized": None,
}
_DECIDING_TEXTS = {"winning_evidence": "dispute.win", "losing_evidence": "dispute.lose"}
_OPEN = ("needs_response", "warning_needs_response", "under_review", "warning_under_review")
# In minor units of the charge's currency.
_FEE = 1_500


def check_disputable(op: Operation, charge: Record, amount: int | None) -> None:
    """Raises ApiError 400. A charge that was refunded may be disputed all the same: the two can cross each other."""
    if not charge.body["captured"]:
        raise ApiError(400, f"Charge {charge.id} has not been captured, so it cannot be disputed.", param="charge")
    earlier = op.store.find("dispute", Criteria({"charge": [charge.id]}))
    if any(dispute.body["status"] in _OPEN for dispute in earlier):
        raise ApiError(400, f"Charge {charge.id} has a dispute that is open.", param="charge")
    lost = sum(dispute.body["amount"] for dispute in earlier if dispute.body["status"] == "lost")
    left = charge.body["amount_captured"] - lost
    check_multiple(amount or left, charge.body["currency"])
    if (amount or left) > left or left == 0:
        raise ApiError(
            400,
            f"At most {spoken(left, charge.body['currency'])} of charge {charge.id} can be disputed.",
            param="amount",
        )


def open_dispute(
    op: Operation, charge: Record, reason: str, *, amount: int | None = None, inquiry: bool = False
) -> Record:
    """Take the charge back, all of it unless an amount is given, or only ask about it."""
    amount = amount or charge.body["amount_captured"]
    card = charge.body["payment_method_details"]["card"]
    due = datetime.fromtimestamp(op.now(), UTC).replace(hour=23, minute=59, second=59) + timedelta(days=9)
    body: Json = {
        "amount": amount,
        "balance_transactions": [],
        "charge": charge.id,
        "currency": charge.body["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE_FIELDS), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": int(due.timestamp()),
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "metadata": {},
        "payment_intent": charge.body["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"],
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": card["network"],
                "network_reason_code": REASONS[reason],
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    dispute = op.add(
        "dispute",
        body,
        private={"entries": []},
        links={"charge": charge.id, "payment_intent": charge.body["payment_intent"]},
    )
    charge.body["disputed"] = True
    charge.private["refundable_while_disputed"] = inquiry
    op.save(charge)
    if not inquiry:
        _book(op, dispute, -amount, _FEE)
    op.emit("charge.dispute.created", render(op, dispute))
    if not inquiry:
        op.emit("charge.dispute.funds_withdrawn", render(op, dispute))
    return dispute


def _book(op: Operation, dispute: Record, amount: int, fee: int) -> None:
    entry = book(
        op,
        source=dispute,
        entry_type="adjustment",
        amount=amount,
        fee=fee,
        fee_description="Dispute fee",
        available_at_once=True,
    )
    dispute.private["entries"].append(entry.id)
    op.save(dispute)


def escalate(op: Operation, dispute: Record) -> None:
    """The bank is not content with an inquiry and takes the money. Raises ApiError 400 for what is a dispute already."""
    if not dispute.body["is_charge_refundable"]:
        raise ApiError(400, f"Dispute {dispute.id} is not an inquiry.", param="dispute")
    charge = op.require("charge", dispute.body["charge"], "charge")
    charge.private["refundable_while_disputed"] = False
    op.save(charge)
    previous = {"is_charge_refundable": True, "status": dispute.body["status"]}
    dispute.body |= {"is_charge_refundable": False, "status": "needs_response"}
    dispute.body["payment_method_details"]["card"]["case_type"] = "chargeback"
    _book(op, dispute, -dispute.body["amount"], _FEE)
    op.emit("charge.dispute.updated", render(op, dispute), previous)
    op.emit("charge.dispute.funds_withdrawn", render(op, dispute))


def close(op: Operation, dispute: Record, *, won: bool) -> None:
    """Decide an open dispute; an inquiry just ends. One that was decided before stays as it is."""
    if dispute.body["status"] not in _OPEN:
        return
    inquiry = dispute.body["status"].startswith("warning_")
    previous = {"status": dispute.body["status"]}
    dispute.body["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    dispute.body["evidence_details"]["past_due"] = False
    op.save(dispute)
    if won and not inquiry:
        _book(op, dispute, dispute.body["amount"], 0)
        op.emit("charge.dispute.funds_reinstated", render(op, dispute))
    op.emit("charge.dispute.closed", render(op, dispute), previous)


def _retrieve(op: Operation, call: Call) -> Answer:
    return op.require("dispute", call.path["dispute"], "dispute")


def _update(op: Operation, call: Call) -> Answer:
    dispute = require_open(op, call.path["dispute"])
    before = render(op, dispute)
    params, body = call.params, dispute.body
    if "metadata" in params:
        body["metadata"] = merge_metadata(body["metadata"], params["metadata"])
    if evidence := params.get("evidence"):
        body["evidence"] = {**body["evidence"], **evidence}
        submitted = params.get("submit", True)
        count = body["evidence_details"]["submission_count"] + int(submitted)
        body["evidence_details"] = {**body["evidence_details"], "has_evidence": True, "submission_count": count}
        if submitted:
            body["status"] = body["status"].replace("needs_response", "under_review")
            deciding = _DECIDING_TEXTS.get(body["evidence"]["uncategorized_text"] or "")
            if deciding is not None:
                op.schedule(deciding, dispute.id, op.settlement_delay_seconds)
    op.save(dispute)
    op.emit("charge.dispute.updated", render(op, dispute), changed(before, dispute.body))
    return dispute


def _close(op: Operation, call: Call) -> Answer:
    dispute = require_open(op, call.path["dispute"])
    close(op, dispute, won=False)
    return dispute


def require_open(op: Operation, dispute_id: str) -> Record:
    """Raises ApiError 404 for no dispute, 400 for one that was decided."""
    dispute = op.require("dispute", dispute_id, "dispute")
    if dispute.body["status"] not in _OPEN:
        raise ApiError(400, "This dispute is already closed", code="dispute_already_closed", param="dispute")
    return dispute


def _list(op: Operation, call: Call) -> Answer:
    links = links_asked_for(call.params, "charge", "payment_intent")
    return find_page(op, "dispute", "/v1/disputes", call.params, links)


def _opens(reason: str, *, inquiry: bool = False) -> TimerAct:
    def act(op: Operation, charge: Record) -> None:
        if charge.body["disputed"] or charge.body["refunded"]:
            return
        open_dispute(op, charge, reason, inquiry=inquiry)

    return act


def _closes(*, won: bool) -> TimerAct:
    def act(op: Operation, dispute: Record) -> None:
        close(op, dispute, won=won)

    return act


TIMERS: dict[str, TimerAct] = {
    "dispute.open_fraudulent": _opens("fraudulent"),
    "dispute.open_not_received": _opens("product_not_received"),
    "dispute.open_inquiry": _opens("fraudulent", inquiry=True),
    "dispute.win": _closes(won=True),
    "dispute.lose": _closes(won=False),
}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/disputes",
        _list,
        "dispute",
        Fields({**PAGING_AND_CREATED, "charge": Text(), "payment_intent": Text()}),
        answers_list=True,
    ),
    Endpoint("GET", "/v1/disputes/{dispute}", _retrieve, "dispute"),
    Endpoint(
        "POST",
        "/v1/disputes/{dispute}",
        _update,
        "dispute",
        Fields(
            {
                "evidence": Fields(
                    {
                        **{name: Text(length_max=20_000, unset=True) for name in _EVIDENCE_FIELDS},
                        "enhanced_evidence": Unsupported(),
                    }
                ),
                "intended_submission_method": Unsupported(),
                "metadata": Metadata(),
                "submit": Flag(),
            }
        ),
    ),
    Endpoint("POST", "/v1/disputes/{dispute}/close", _close, "dispute"),
)
