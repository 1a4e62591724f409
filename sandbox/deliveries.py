"""Webhook deliveries: signed, repeated until the endpoint answers 2xx, remembered over a restart.

Signatures: https://docs.stripe.com/webhooks#verify-manually. An event may arrive twice (the sandbox died after the
endpoint answered) and out of order, as with Stripe.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx2

from sandbox.clock import SandboxClock
from sandbox.operation import NEVER, Operation
from sandbox.rendering import render
from sandbox.store import Store
from sandbox.wire import dump

_log = logging.getLogger(__name__)

_AT_ONCE_MAX = 16
_TIMEOUT_SECONDS = 10.0
_PAUSE_FIRST_SECONDS = 1.0
_PAUSE_MAX_SECONDS = 3_600.0
# Doubling pauses reach an hour after twelve attempts; with an hour each for the rest this is Stripe's three days.
_ATTEMPTS_MAX = 84
# When nothing is due, look again this often all the same: the machine's clock may have been set.
_LOOK_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Delivery:
    id: int
    event_id: str
    endpoint_id: str
    attempts: int


def sign(payload: bytes, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header: HMAC-SHA256 of "timestamp.payload"."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class Deliveries:
    """Works through the queue that `Operation.emit` fills. `begin` opens a transaction with an operation in it."""

    def __init__(
        self, store: Store, clock: SandboxClock, begin: Callable[[], AbstractContextManager[Operation]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._begin = begin
        self._under_way: set[int] = set()
        self._ended: list[tuple[_Delivery, bool]] = []
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that there may be something to deliver."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. What was not acknowledged by then stays queued."""
        # No connection is kept: one that the endpoint closed meanwhile would cost an event its first attempt.
        limits = httpx2.Limits(max_connections=_AT_ONCE_MAX, max_keepalive_connections=0)
        async with (
            httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            while True:
                self._wake.clear()
                self._record_ended()
                for delivery in self._due():
                    self._under_way.add(delivery.id)
                    tasks.create_task(self._deliver(client, delivery))
                try:
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def _due(self) -> list[_Delivery]:
        rows = self._store.connection.execute(
            "SELECT id, event, endpoint, attempts FROM deliveries WHERE due <= ? ORDER BY due, id LIMIT ?",
            (self._clock.now(), _AT_ONCE_MAX),
        ).fetchall()
        free = _AT_ONCE_MAX - len(self._under_way)
        return [_Delivery(*row) for row in rows if row[0] not in self._under_way][:free]

    def _pause(self) -> float:
        if len(self._under_way) >= _AT_ONCE_MAX:
            # The first one to end wakes us.
            return _LOOK_AGAIN_SECONDS
        rows = self._store.connection.execute(
            "SELECT id, due FROM deliveries ORDER BY due LIMIT ?", (_AT_ONCE_MAX + 1,)
        ).fetchall()
        dues = [float(due) for delivery_id, due in rows if delivery_id not in self._under_way]
        if not dues:
            return _LOOK_AGAIN_SECONDS
        return min(max(dues[0] - self._clock.now(), 0.0), _LOOK_AGAIN_SECONDS)

    async def _deliver(self, client: httpx2.AsyncClient, delivery: _Delivery) -> None:
        acknowledged = await self._post(client, delivery)
        # Written down with whatever else has ended by then. Killed before that, we would deliver it again.
        self._ended.append((delivery, acknowledged))
        self.wake()

    async def _post(self, client: httpx2.AsyncClient, delivery: _Delivery) -> bool:
        with self._begin() as op:
            event = op.get("event", delivery.event_id)
            endpoint = op.get("webhook_endpoint", delivery.endpoint_id)
            if event is None or endpoint is None or endpoint.body["status"] != "enabled":
                # Nobody waits for it any more.
                return True
            payload = dump(render(op, event))
            url, secret = endpoint.body["url"], endpoint.private["secret"]
        # The receiver compares the timestamp with its own clock, which does not move with ours.
        signature = sign(payload, secret, int(self._clock.wall_time()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature,
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                client.stream("POST", url, content=payload, headers=headers) as response,
            ):
                return bool(response.is_success)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            _log.info("delivery of %s to %s failed: %r", delivery.event_id, url, error)
            return False

    def _record_ended(self) -> None:
        if not self._ended:
            return
        with self._begin() as op:
            for delivery, acknowledged in self._ended:
                if acknowledged:
                    self._acknowledge(op, delivery)
                else:
                    self._put_off(op, delivery)
        self._under_way.difference_update(delivery.id for delivery, _ in self._ended)
        self._ended.clear()

    def _put_off(self, op: Operation, delivery: _Delivery) -> None:
        attempts = delivery.attempts + 1
        pause = min(_PAUSE_FIRST_SECONDS * 2 ** min(delivery.attempts, 20), _PAUSE_MAX_SECONDS)
        due = self._clock.now() + pause if attempts < _ATTEMPTS_MAX else NEVER
        op.store.connection.execute(
            "UPDATE deliveries SET attempts = ?, due = ?, held = 0 WHERE id = ?", (attempts, due, delivery.id)
        )

    def _acknowledge(self, op: Operation, delivery: _Delivery) -> None:
        op.store.connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))
        # An event that was held back for a later one to pass it may go now.
        op.store.connection.execute(
            "UPDATE deliveries SET due = ?, held = 0 WHERE held AND endpoint = ? AND id < ?",
            (self._clock.now(), delivery.endpoint_id, delivery.id),
        )
        event = op.get("event", delivery.event_id)
        if event is not None and not op.store.undelivered(event.id):
            op.store.link(event, "delivered", "true")
