"""One act on the sandbox's state: what an endpoint, a timer or the 3-D Secure page is given to work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sandbox.clock import SandboxClock
from sandbox.errors import no_such
from sandbox.ids import new_id
from sandbox.parameters import METADATA_KEYS_MAX, Fields, too_much_metadata
from sandbox.store import Criteria, Record, Store
from sandbox.wire import Json

API_VERSION = "2026-10-28.endive"

# The kinds whose objects do not say whether they are live.
_WITHOUT_LIVEMODE = frozenset({"balance_transaction", "refund"})


@dataclass(slots=True)
class Operation:
    """Bound to the transaction that is open on the store. `request_id` is None when no request caused the act."""

    store: Store
    clock: SandboxClock
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
        self.store.connection.executemany(
            "INSERT INTO deliveries (event, endpoint, due) VALUES (?, ?, ?)",
            [(event.id, endpoint_id, self.clock.now()) for endpoint_id in listeners],
        )
        self.stirs = self.stirs or bool(listeners)


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
