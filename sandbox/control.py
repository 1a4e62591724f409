"""What Stripe has no API for: the clock, and the ends of payments and refunds that wait to be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox import refunds
from sandbox.confirmation import settle_processing
from sandbox.errors import ApiError, invalid
from sandbox.forms import Raw, RawHash
from sandbox.machine import Machine
from sandbox.parameters import Choice, Fields
from sandbox.rendering import render
from sandbox.wire import Json

# A century; more would only overflow somebody's date type.
_ADVANCE_SECONDS_MAX = 3_155_760_000


@dataclass(frozen=True, slots=True)
class Control:
    """A method and path under /_sandbox. `act` gets the names in the path and the decoded parameters."""

    method: str
    path: str
    act: Callable[[Machine, Mapping[str, str], RawHash], Json]


class _Seconds:
    def parse(self, name: str, raw: Raw) -> float:
        try:
            seconds = float(raw) if isinstance(raw, str) else -1.0
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= _ADVANCE_SECONDS_MAX:
            raise invalid(f"Invalid {name}: must be between 0 and {_ADVANCE_SECONDS_MAX} seconds", param=name)
        return seconds


_ADVANCE = Fields({"advance_seconds": _Seconds()}, required=("advance_seconds",))
_OUTCOME = Fields({"outcome": Choice(("succeed", "fail"))}, required=("outcome",))


def _show_clock(machine: Machine, _path: Mapping[str, str], _params: RawHash) -> Json:
    return {
        "object": "sandbox.clock",
        "now": machine.clock.timestamp(),
        "offset_seconds": machine.clock.offset_seconds,
    }


def _advance_clock(machine: Machine, path: Mapping[str, str], params: RawHash) -> Json:
    machine.advance_clock(_ADVANCE.parse_hash(params)["advance_seconds"])
    return _show_clock(machine, path, params)


def _settle_payment_intent(machine: Machine, path: Mapping[str, str], params: RawHash) -> Json:
    """End a PaymentIntent that is `processing`."""
    outcome = _OUTCOME.parse_hash(params)["outcome"]
    with machine.begin() as op:
        intent = op.require("payment_intent", path["id"], "intent")
        settle_processing(op, intent, succeeds=outcome == "succeed")
        return render(op, intent)


def _settle_refund(machine: Machine, path: Mapping[str, str], params: RawHash) -> Json:
    """End a refund that is pending, or let one fail that had succeeded."""
    outcome = _OUTCOME.parse_hash(params)["outcome"]
    with machine.begin() as op:
        refund = op.require("refund", path["id"], "id")
        settleable = ("pending",) if outcome == "succeed" else ("pending", "succeeded")
        if refund.body["status"] not in settleable or refund.body["balance_transaction"] is None:
            raise ApiError(400, f"Refund {refund.id} has a status of {refund.body['status']} and cannot {outcome}.")
        (refunds.succeed if outcome == "succeed" else refunds.fail)(op, refund)
        return render(op, refund)


CONTROLS = (
    Control("GET", "/_sandbox/clock", _show_clock),
    Control("POST", "/_sandbox/clock", _advance_clock),
    Control("POST", "/_sandbox/payment_intents/{id}/settle", _settle_payment_intent),
    Control("POST", "/_sandbox/refunds/{id}/settle", _settle_refund),
)
