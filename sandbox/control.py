"""What Stripe has no API for: the clock, and the ends of payments and refunds that wait to be told."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox import disputes, refunds
from sandbox.confirmation import settle_processing
from sandbox.errors import ApiError, exclusive, missing
from sandbox.machine import Machine
from sandbox.operation import Call
from sandbox.parameters import Choice, Fields, Flag, Integer, Number, Text
from sandbox.rendering import render
from sandbox.wire import Json

# A century; more would only overflow somebody's date type.
_ADVANCE_SECONDS_MAX = 3_155_760_000


@dataclass(frozen=True, slots=True)
class Control:
    """A method and path under /_sandbox, what it takes and what it does."""

    method: str
    path: str
    act: Callable[[Machine, Call], Json]
    takes: Fields = field(default_factory=Fields)


_CLOCK = Fields({"advance_seconds": Number(0, _ADVANCE_SECONDS_MAX), "held": Flag()})
_OUTCOME = Fields({"outcome": Choice(("succeed", "fail"))}, required=("outcome",))


def _show_clock(machine: Machine, _call: Call) -> Json:
    return {
        "object": "sandbox.clock",
        "held": machine.clock.held_at is not None,
        "now": machine.clock.timestamp(),
        "offset_seconds": machine.clock.offset_seconds,
    }


def _set_clock(machine: Machine, call: Call) -> Json:
    if not call.params:
        raise missing("advance_seconds")
    machine.set_clock(**call.params)
    return _show_clock(machine, call)


def _settle_payment_intent(machine: Machine, call: Call) -> Json:
    """End a PaymentIntent that is `processing`."""
    with machine.begin() as op:
        intent = op.require("payment_intent", call.path["id"], "intent")
        settle_processing(op, intent, succeeds=call.params["outcome"] == "succeed")
        return render(op, intent)


def _settle_refund(machine: Machine, call: Call) -> Json:
    """End a refund that is pending, or let one fail that had succeeded."""
    outcome = call.params["outcome"]
    with machine.begin() as op:
        refund = op.require("refund", call.path["id"], "id")
        settleable = ("pending",) if outcome == "succeed" else ("pending", "succeeded")
        if refund.body["status"] not in settleable or refund.body["balance_transaction"] is None:
            raise ApiError(400, f"Refund {refund.id} has a status of {refund.body['status']} and cannot {outcome}.")
        (refunds.succeed if outcome == "succeed" else refunds.fail)(op, refund)
        return render(op, refund)


def _open_dispute(machine: Machine, call: Call) -> Json:
    params = call.params
    if ("charge" in params) is ("payment_intent" in params):
        raise exclusive("charge", "payment_intent") if "charge" in params else missing("payment_intent")
    with machine.begin() as op:
        charge_id = params.get("charge")
        if charge_id is None:
            intent = op.require("payment_intent", params["payment_intent"], "payment_intent")
            charge_id = intent.body["latest_charge"] or ""
        charge = op.require("charge", charge_id, "charge")
        disputes.check_disputable(op, charge, params.get("amount"))
        dispute = disputes.open_dispute(
            op,
            charge,
            params.get("reason", "fraudulent"),
            amount=params.get("amount"),
            inquiry=params.get("inquiry", False),
        )
        return render(op, dispute)


def _settle_dispute(machine: Machine, call: Call) -> Json:
    """End a dispute that is open, or make an inquiry a dispute."""
    with machine.begin() as op:
        dispute = disputes.require_open(op, call.path["id"])
        if call.params["outcome"] == "escalate":
            disputes.escalate(op, dispute)
        else:
            disputes.close(op, dispute, won=call.params["outcome"] == "win")
        return render(op, dispute)


CONTROLS = (
    Control("GET", "/_sandbox/clock", _show_clock),
    Control("POST", "/_sandbox/clock", _set_clock, _CLOCK),
    Control("POST", "/_sandbox/payment_intents/{id}/settle", _settle_payment_intent, _OUTCOME),
    Control("POST", "/_sandbox/refunds/{id}/settle", _settle_refund, _OUTCOME),
    Control(
        "POST",
        "/_sandbox/disputes",
        _open_dispute,
        Fields(
            {
                "amount": Integer(minimum=1),
                "charge": Text(),
                "inquiry": Flag(),
                "payment_intent": Text(),
                "reason": Choice(tuple(disputes.REASONS)),
            }
        ),
    ),
    Control(
        "POST",
        "/_sandbox/disputes/{id}/settle",
        _settle_dispute,
        Fields({"outcome": Choice(("win", "lose", "escalate"))}, required=("outcome",)),
    ),
)
