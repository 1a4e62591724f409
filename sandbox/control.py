"""What Stripe has no API for: the clock, and the ends of payments and refunds that wait to be told."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox import refunds
from sandbox.confirmation import settle_processing
from sandbox.errors import ApiError
from sandbox.machine import Machine
from sandbox.operation import Call
from sandbox.parameters import Choice, Fields, Number
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


_ADVANCE = Fields({"advance_seconds": Number(0, _ADVANCE_SECONDS_MAX)}, required=("advance_seconds",))
_OUTCOME = Fields({"outcome": Choice(("succeed", "fail"))}, required=("outcome",))


def _show_clock(machine: Machine, _call: Call) -> Json:
    return {
        "object": "sandbox.clock",
        "now": machine.clock.timestamp(),
        "offset_seconds": machine.clock.offset_seconds,
    }


def _advance_clock(machine: Machine, call: Call) -> Json:
    machine.advance_clock(call.params["advance_seconds"])
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


CONTROLS = (
    Control("GET", "/_sandbox/clock", _show_clock),
    Control("POST", "/_sandbox/clock", _advance_clock, _ADVANCE),
    Control("POST", "/_sandbox/payment_intents/{id}/settle", _settle_payment_intent, _OUTCOME),
    Control("POST", "/_sandbox/refunds/{id}/settle", _settle_refund, _OUTCOME),
)
