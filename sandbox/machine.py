"""The running sandbox: its state, its clock, and what happens by itself as time passes."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox import capture, charges, disputes, refunds, webhook_endpoints
from sandbox.clock import SandboxClock
from sandbox.config import SandboxConfig
from sandbox.deliveries import Deliveries
from sandbox.faults import Faults
from sandbox.idempotency import IdempotencyKeys
from sandbox.operation import Operation, TimerAct
from sandbox.store import Criteria, Store

_log = logging.getLogger(__name__)

_TIMERS: dict[str, TimerAct] = {**capture.TIMERS, **charges.TIMERS, **disputes.TIMERS, **refunds.TIMERS}
_LOOK_AGAIN_SECONDS = 60.0


class Machine:
    """Opens the state when it is made. `run` needs an event loop; everything else is synchronous and atomic.

    `may_crash` says whether the process is the sandbox's own, to be killed when a fault asks for it.
    """

    def __init__(self, config: SandboxConfig, *, may_crash: bool = False) -> None:
        self.config = config
        self.may_crash = may_crash
        self.store = Store(config.state_path)
        self.clock = SandboxClock(
            float(self.store.setting("clock_offset") or 0.0),
            held_at=float(held) if (held := self.store.setting("clock_held_at")) else None,
            not_before=self.store.latest_creation(),
        )
        self.idempotency_keys = IdempotencyKeys(self.store, self.clock)
        self.faults = Faults(self.store)
        self.deliveries = Deliveries(self.store, self.clock, self.begin)
        self._wake = asyncio.Event()
        self._add_configured_webhooks()

    def close(self) -> None:
        self.store.close()

    def crash(self) -> None:
        """End the process with no chance to tidy up, as a power cut of its machine would."""
        if self.may_crash:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def begin(self, request_id: str | None = None, idempotency_key: str | None = None) -> Iterator[Operation]:
        """One transaction: what is done with the operation is kept as a whole or not at all."""
        op = Operation(
            store=self.store,
            clock=self.clock,
            faults=self.faults,
            base_url=self.config.base_url,
            settlement_delay_seconds=self.config.settlement_delay_seconds,
            request_id=request_id,
            idempotency_key=idempotency_key,
        )
        with self.store.transaction():
            yield op
        if op.stirs:
            self._stir()

    def _stir(self) -> None:
        """There may be events to deliver, or a timer that is due earlier."""
        self._wake.set()
        self.deliveries.wake()

    async def run(self) -> None:
        """Deliver events and let timers go off, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.deliveries.run())
            while True:
                self._wake.clear()
                self.run_due_timers()
                try:
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def run_due_timers(self) -> None:
        """Let every timer go off whose time has come, the earliest first."""
        while (due := self._next_timer()) is not None and due[1] <= self.clock.now():
            timer_id, _, act, subject = due
            try:
                with self.begin() as op:
                    op.store.connection.execute("DELETE FROM timers WHERE id = ?", (timer_id,))
                    record = op.store.get(subject)
                    if record is not None:
                        _TIMERS[act](op, record)
            except Exception:  # noqa: BLE001 - a timer that cannot run must not stop the others, nor be tried for ever
                _log.exception("the timer %s of %s failed", act, subject)
                with self.begin() as op:
                    op.store.connection.execute("DELETE FROM timers WHERE id = ?", (timer_id,))

    def set_clock(self, *, advance_seconds: float = 0.0, held: bool | None = None) -> None:
        """Move the clock forward, then stop it or let it go on. Whatever becomes due happens before this returns."""
        self.clock.advance(advance_seconds)
        if held is not None:
            (self.clock.hold if held else self.clock.release)()
        with self.begin() as op:
            op.store.set_setting("clock_offset", repr(self.clock.offset_seconds))
            held_at = self.clock.held_at
            op.store.set_setting("clock_held_at", "" if held_at is None else repr(held_at))
        self.run_due_timers()
        self._stir()

    def _next_timer(self) -> tuple[int, float, str, str] | None:
        row = self.store.connection.execute(
            "SELECT id, due, act, subject FROM timers ORDER BY due, id LIMIT 1"
        ).fetchone()
        return None if row is None else (int(row[0]), float(row[1]), str(row[2]), str(row[3]))

    def _pause(self) -> float:
        due = self._next_timer()
        if due is None:
            return _LOOK_AGAIN_SECONDS
        return min(max(due[1] - self.clock.now(), 0.0), _LOOK_AGAIN_SECONDS)

    def _add_configured_webhooks(self) -> None:
        with self.begin() as op:
            for target in self.config.webhooks:
                known = op.store.find("webhook_endpoint", Criteria({"url": [target.url]}))
                if not known:
                    params = {"url": target.url, "enabled_events": list(target.enabled_events)}
                    webhook_endpoints.add(op, params, target.secret)
                    continue
                known[0].body |= {"enabled_events": list(target.enabled_events), "status": "enabled"}
                known[0].private["secret"] = target.secret
                op.save(known[0])
