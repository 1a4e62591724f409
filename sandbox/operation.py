"""One act on the sandbox's state: what an endpoint, a timer or the 3-D Secure page is given to work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sandbox.clock import SandboxClock
from sandbox.errors import no_such
from sandbox.faults import FaultKind, Faults
from sandbox.ids import new_id
from sandbox.parameters import METADATA_KEYS_MAX, Fields, too_much_metadata
from sandbox.store import Criteria, Record, Store
from sandbox.wire import Json

API_VERSION = "2026-10-28.endive"

# Every type of event that the sandbox makes.
EVENT_TYPES = (
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.expired",
    "charge.failed",
    "charge.pending",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "customer.created",
    "customer.deleted",
    "customer.updated",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.detached",
    "payment_method.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
)
# When a delivery is due that will not be tried (again).
NEVER = 1e18
# How long an event waits at most for another one to pass it, unless told otherwise.
HELD_SECONDS = 10.0

# The kinds whose objects do not say whether they are live.
_WITHOUT_LIVEMODE = frozenset({"balance_transaction", "refund"})


@dataclass(slots=True)
class Operation:
    """Bound to the transaction that is open on the store. `request_id` is None when no request caused the act."""

    store: Store
    clock: SandboxClock
    faults: Faults
    base_url: str
    settlement_delay_seconds: float
    request_id: str | None = None
    idempotency_key: str | None = None
    # Whether there is now something to deliver, or a timer to wait for.
    stirs: bool = False

    def now(self) -> int:
        return self.clock.timestamp()

    def add(
        self,
        kind: str,
        body: Json,
        *,
        object_id: str | None = None,
        private: Json | None = None,
        links: Mapping[str, str | None] | None = None,
    ) -> Record:
        """Store a new object. Its `id`, `object`, `created` and `livemode` are put in here."""
        record = Record(kind, object_id or new_id(kind), self.now(), {}, private or {})
        record.body = {"id": record.id, "object": kind, "created": record.created, **body}
        if kind not in _WITHOUT_LIVEMODE:
            record.body["livemode"] = False
        self.store.insert(record, links or {})
        return record

    def save(self, record: Record) -> None:
        self.store.update(record)

    def get(self, kind: str, object_id: str | None) -> Record | None:
        record = self.store.get(object_id) if object_id else None
        return record if record is not None and record.kind == kind else None

    def require(self, kind: str, object_id: str, param: str, status: int = 404) -> Record:
        """Raises ApiError resource_missing."""
        record = self.get(kind, object_id)
        if record is None:
            raise no_such(kind, object_id, param, status)
        return record

    def schedule(self, act: str, subject: str, delay_seconds: float) -> None:
        """Run the timer `act` on the object `subject` once the sandbox's clock has moved this far."""
        self.store.connection.execute(
            "INSERT INTO timers (due, act, subject) VALUES (?, ?, ?)",
            (self.clock.now() + delay_seconds, act, subject),
        )
        self.stirs = True

    def emit(self, event_type: str, snapshot: Json, previous: Json | None = None) -> None:
        """Record an event and queue its delivery to every endpoint that listens for it."""
        listeners = [
            endpoint.id
            for endpoint in self.store.find("webhook_endpoint", Criteria())
            if endpoint.body["status"] == "enabled"
            and not {"*", event_type}.isdisjoint(endpoint.body["enabled_events"])
        ]
        data: Json = {"object": snapshot}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.add(
            "event",
            {
                "api_version": API_VERSION,
                "data": data,
                "pending_webhooks": len(listeners),
                "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
                "type": event_type,
            },
            links={"type": event_type, "delivered": "false" if listeners else "true"},
        )
        if listeners:
            self._queue(event, listeners)
            self.stirs = True

    def _queue(self, event: Record, listeners: list[str]) -> None:
        fault = self.faults.strike_event(event.body["type"])
        kind = None if fault is None else fault.kind
        due = self.clock.now()
        if fault is not None and kind in {FaultKind.LATE, FaultKind.REORDER}:
            due += fault.seconds
        elif kind is FaultKind.LOSE:
            due = NEVER
        rows = [(event.id, endpoint_id, due, kind is FaultKind.REORDER) for endpoint_id in listeners]
        self.store.connection.executemany(
            "INSERT INTO deliveries (event, endpoint, due, held) VALUES (?, ?, ?, ?)",
            rows * 2 if kind is FaultKind.DOUBLE else rows,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """What the client sent: names taken from the path, and the parsed parameters."""

    path: Mapping[str, str]
    params: Json


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, newest first."""

    records: list[Record]
    has_more: bool
    url: str


Answer: TypeAlias = Record | Page | Json


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path of the API, what it takes, what it does, and the kind of object it answers with."""

    method: str
    path: str
    act: Callable[[Operation, Call], Answer]
    answers: str
    takes: Fields = field(default_factory=Fields)
    answers_list: bool = False

    @property
    def name(self) -> str:
        """`payment_intents.confirm`, `charges.list_refunds`: the words in which a fault is asked for."""
        _, _, resource, *rest = self.path.split("/")
        words = [part for part in rest if not part.startswith("{")]
        if self.method == "POST":
            verb = words.pop() if words else "update" if rest else "create"
        else:
            verb = "delete" if self.method == "DELETE" else "list" if self.answers_list else "retrieve"
        return f"{resource}.{'_'.join([verb, *words])}"


TimerAct: TypeAlias = Callable[[Operation, Record], None]


def merge_metadata(current: Json, changes: Mapping[str, str | None] | None) -> Json:
    """None removes everything, a None value removes its key. Raises ApiError 400 for too many keys."""
    if changes is None:
        return {}
    merged = {key: value for key, value in {**current, **changes}.items() if value is not None}
    if len(merged) > METADATA_KEYS_MAX:
        raise too_much_metadata()
    return merged


def changed(before: Json, after: Json) -> Json:
    """The old values of the fields that differ: an event's `previous_attributes`."""
    return {key: before.get(key) for key, value in after.items() if before.get(key) != value}
