"""The sandbox's state, made in this process by its own operations: days of payments in seconds, each at its own time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from sandbox import disputes, refunds
from sandbox.config import SandboxConfig
from sandbox.endpoints import ENDPOINTS
from sandbox.errors import ApiError
from sandbox.expand import parse_expansions
from sandbox.machine import Machine
from sandbox.operation import Call, Operation
from sandbox.rendering import render
from sandbox.store import Record, Store

# Any: the sandbox's objects are open JSON.
Json: TypeAlias = dict[str, Any]

_ACTS = {(endpoint.method, endpoint.path): endpoint.act for endpoint in ENDPOINTS}
_EXPANDED = parse_expansions(["latest_charge.balance_transaction", "payment_method"], "payment_intent", in_list=False)
_REFUND_EXPANDED = parse_expansions(["balance_transaction"], "refund", in_list=False)


class Processor:
    """A sandbox whose clock stands where the caller puts it. Once closed, the file is a sandbox's like any other."""

    def __init__(self, state: Path, start: datetime) -> None:
        with _opened(state) as store, store.transaction():
            store.set_setting("clock_held_at", repr(start.timestamp()))
        self._machine = Machine(SandboxConfig(state_path=state))
        # It is thrown away when the machine fails; waiting for the disk at every step would take most of the time.
        self._machine.store.connection.execute("PRAGMA synchronous = OFF")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # From now on its time is the machine's.
        with self._machine.begin() as op:
            op.store.set_setting("clock_held_at", "")
            op.store.set_setting("clock_offset", "0.0")
        self._machine.close()

    def go_to(self, moment: datetime) -> None:
        self._machine.clock.advance(moment.timestamp() - self._machine.clock.now())

    @contextmanager
    def acting(self) -> Iterator["Acting"]:
        """Several operations that are kept together. What only tells of them, the events, is not kept."""
        with self._machine.begin() as op:
            yield Acting(op)
            op.store.connection.execute("DELETE FROM links WHERE seq IN (SELECT seq FROM objects WHERE kind = 'event')")
            op.store.connection.execute("DELETE FROM objects WHERE kind = 'event'")


class Acting:
    """What can be done at the processor. Answers are as a client gets them, with everything expanded that Florin asks for."""

    def __init__(self, op: Operation) -> None:
        self._op = op

    def pay(self, params: Json) -> Json:
        """Create a PaymentIntent and confirm it, whether that succeeds or not."""
        intent = self._do("POST", "/v1/payment_intents", {}, {"payment_method_types": ["card"], **params})
        self._do("POST", "/v1/payment_intents/{intent}/confirm", {"intent": intent.id}, {})
        return self.intent(intent.id)

    def capture(self, intent_id: str, minor_units: int) -> None:
        params = {"amount_to_capture": minor_units}
        self._do("POST", "/v1/payment_intents/{intent}/capture", {"intent": intent_id}, params)

    def cancel(self, intent_id: str) -> None:
        self._do("POST", "/v1/payment_intents/{intent}/cancel", {"intent": intent_id}, {})

    def refund(self, intent_id: str, minor_units: int, metadata: Mapping[str, str]) -> Json:
        params = {"payment_intent": intent_id, "amount": minor_units, "metadata": dict(metadata)}
        return render(self._op, self._do("POST", "/v1/refunds", {}, params), _REFUND_EXPANDED)

    def fail_refund(self, refund_id: str) -> Json:
        refund = self._op.require("refund", refund_id, "id")
        refunds.fail(self._op, refund)
        return render(self._op, refund, _REFUND_EXPANDED)

    def dispute(self, intent_id: str) -> Json:
        intent = self._op.require("payment_intent", intent_id, "intent")
        charge = self._op.require("charge", intent.body["latest_charge"], "charge")
        return render(self._op, disputes.open_dispute(self._op, charge, "fraudulent"))

    def decide(self, dispute_id: str, *, won: bool) -> Json:
        dispute = self._op.require("dispute", dispute_id, "dispute")
        disputes.close(self._op, dispute, won=won)
        return render(self._op, dispute)

    def intent(self, intent_id: str) -> Json:
        return render(self._op, self._op.require("payment_intent", intent_id, "intent"), _EXPANDED)

    def _do(self, method: str, path: str, names: Mapping[str, str], params: Json) -> Record:
        act: Callable[[Operation, Call], object] = _ACTS[method, path]
        try:
            answer = act(self._op, Call(names, params))
        except ApiError as error:
            # A decline is kept, and answered by an error.
            if not error.commits:
                raise
            answer = self._op.require("payment_intent", names["intent"], "intent")
        assert isinstance(answer, Record)
        return answer


@contextmanager
def _opened(state: Path) -> Iterator[Store]:
    store = Store(state)
    try:
        yield store
    finally:
        store.close()
