"""One run: a client who asks until answered, processes that die, a worker that recovers, and a processor that fails."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Role
from domain.errors import ErrorCode, Refusal, Unavailable
from domain.messaging.receive_webhook import ReceiveWebhook
from domain.messaging.webhook_events import WebhookEvent
from domain.payments.answer import Answer
from domain.payments.gateway import ChargeStatus, OutcomeUnknown, RefundReportStatus
from domain.payments.resolve_attempt import AttemptResolution, NewResolution
from domain.sweeps import Sweep, SweepRun
from tests.faults.acts import Act, Assembly, FaultyActs, Silent, as_it_is
from tests.faults.books import Bookkeeper, Observer
from tests.faults.cases import Case, Hooks, Rival
from tests.faults.process import Killed, Process, come_to
from tests.faults.processor import Event, FaultyGateway
from tests.faults.timeline import PointKind, Timeline
from tests.support.clock import SequentialIds
from tests.support.records import actor, user

_NOT_YET = frozenset({ErrorCode.PROCESSOR_UNAVAILABLE, ErrorCode.IDEMPOTENCY_IN_PROGRESS})
_HOUR = timedelta(hours=1)
_DAY_OVER = timedelta(hours=25)
_ROUNDS_MAX = 6
_WORKERS_MAX = 4
# How often it is asked whether a rival waits for a lock; the outcome does not depend on it.
_LOOK_SECONDS = 0.02
# In the round with this number a day passes, and the processor's keys with it.
_ROUND_OF_THE_DAY = 3


@dataclass(slots=True)
class _Trusting:
    """Takes a body for the event that it names."""

    events: dict[str, Event]

    def verify(self, body: bytes, signatures: Sequence[str], *, now: datetime) -> WebhookEvent:
        return self.events[body.decode()].as_received()


@dataclass(slots=True)
class Ask:
    """Something that the client wants, and what it has been told: an answer that is definite, or a refusal."""

    key: str
    act: Act
    answer: Answer | None = None
    refusal: Refusal | None = None

    @property
    def decided(self) -> bool:
        return self.answer is not None or self.refusal is not None


@dataclass(slots=True, kw_only=True)
class World:
    """Everything of one run. A script plays in it (tests/faults/scripts.py); `finish` lets everything come to rest."""

    case: Case
    timeline: Timeline
    gateway: FaultyGateway
    acts: FaultyActs
    books: Bookkeeper
    payer: Actor
    staff: Actor
    admin: Actor
    asks: dict[str, Ask] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    decided_by_a_person: bool = False
    other: Ask | None = None
    _verifier: _Trusting = field(default_factory=lambda: _Trusting({}))
    _receive: ReceiveWebhook = field(init=False)
    _sent: int = 0
    _processes: int = 0
    _telling: bool = False
    _asking: Ask | None = None
    _rival: "asyncio.Task[None] | None" = None
    _stalled: bool = False

    def __post_init__(self) -> None:
        self._receive = ReceiveWebhook(
            units=self.acts.units, verifier=self._verifier, clock=self.acts.clock, bell=Silent()
        )
        self.gateway.told = self._tell_early

    # The client.

    async def ask(self, key: str, act: Act) -> Ask:
        """Ask until there is a definite answer, as a client does that keeps its key."""
        ask = self.asks.setdefault(key, Ask(key, act))
        await self._pursue(ask)
        if self.case.hooks in {Hooks.AFTER, Hooks.DOUBLED}:
            await self.deliver()
            await self.work()
        return ask

    async def ask_again(self, ask: Ask) -> None:
        """Ask once, when everything is over."""
        await self._ask_once(ask)

    async def look_around(self) -> None:
        """Let events arrive and the worker look, where this run's events arrive in time."""
        if self.case.hooks not in {Hooks.REVERSED, Hooks.LATE, Hooks.LOST}:
            await self.deliver()
        await self.recover()

    async def _pursue(self, ask: Ask) -> None:
        for number in range(_ROUNDS_MAX):
            self._asking = ask
            await self._ask_once(ask)
            await self._wait_for_rival()
            if ask.decided:
                return
            await self._let_time_pass(number)

    async def _ask_once(self, ask: Ask) -> None:
        process = self._start("api")
        try:
            answer = await process.run(self._reply(ask))
        except Killed:
            self.timeline.note(f"{ask.key}: the connection broke")
        except Unavailable as error:
            self.timeline.note(f"{ask.key}: {type(error).__name__}")
        except Refusal as refusal:
            self.timeline.note(f"{ask.key}: refused, {refusal.code}")
            if refusal.code not in _NOT_YET:
                ask.refusal = ask.refusal or refusal
        except Exception as error:  # noqa: BLE001  whatever else comes is a finding
            self._find(f"{ask.key}: {error!r}")
        else:
            self.timeline.note(f"{ask.key}: {_told(answer)}")
            if not any(refusal.code in _NOT_YET for refusal in answer.refusals):
                ask.answer = ask.answer or answer

    async def _reply(self, ask: Ask) -> Answer:
        try:
            answer = await ask.act(self.acts)
        except Refusal:
            await come_to(PointKind.REPLY, "the refusal is sent")
            raise
        await come_to(PointKind.REPLY, "the answer is sent")
        return answer

    async def _let_time_pass(self, number: int) -> None:
        """What happens before the client asks again: at first nothing, then leases run out, then a day goes by."""
        if number == 0:
            return
        if number == _ROUND_OF_THE_DAY:
            await self._a_day_passes()
        elif number > 1:
            await self._age(_HOUR)
        await self.look_around()

    async def _a_day_passes(self) -> None:
        self.timeline.note("25 h go by")
        await self._age(_DAY_OVER)
        self.gateway.forget_keys()
        self.gateway.recover()

    async def _age(self, by: timedelta) -> None:
        self.acts.clock.advance(by)
        await self.books.age(by)

    # The payer and the processor, who do not ask us.

    def payer_acts(self, *, success: bool) -> None:
        for reference in self.charges_that_are(ChargeStatus.REQUIRES_ACTION):
            self.timeline.note(f"the payer {'passes' if success else 'fails'} the challenge")
            self.gateway.authenticate(reference, success=success)

    def payer_tries_again(self) -> None:
        """Whoever was sent to a challenge holds the client secret, and may confirm a declined charge with it once more."""
        for reference in self.gateway.challenged.intersection(self.charges_that_are(ChargeStatus.DECLINED)):
            self.timeline.note("the payer confirms the declined charge again")
            self.gateway.succeed_after_all(reference)

    def processor_settles(self) -> None:
        for reference in self.charges_that_are(ChargeStatus.PROCESSING):
            self.timeline.note("the processor is done with the charge")
            self.gateway.settle(reference)

    def refund_in_dashboard(self, minor_units: int) -> None:
        """The merchant refunds at the processor itself."""
        for reference, charge in self.gateway.charges.items():
            if charge.captured >= minor_units:
                self.timeline.note(f"{minor_units} are refunded in the processor's dashboard")
                self.gateway.refund_elsewhere(reference, minor_units)

    def payer_disputes(self, minor_units: int | None = None) -> None:
        """The payer has their bank take captured money back."""
        for reference in self.charges_that_are(ChargeStatus.SUCCEEDED):
            self.timeline.note("the payer disputes the payment")
            self.gateway.dispute(reference, minor_units)

    def bank_decides(self, *, won: bool) -> None:
        for reference in self.gateway.disputes_by_reference:
            self.timeline.note(f"the dispute is {'won' if won else 'lost'}")
            self.gateway.decide(reference, won=won)

    def refunds_become(self, status: RefundReportStatus) -> None:
        for reference, refund in self.gateway.refunds.items():
            if refund.status is not status:
                self.timeline.note(f"the refund is {status} after all")
                self.gateway.settle_refund(reference, status)

    def charges_that_are(self, status: ChargeStatus) -> list[str]:
        return [reference for reference, charge in self.gateway.charges.items() if charge.status is status]

    # Events on their way.

    async def deliver(self, *, backwards: bool = False) -> None:
        """Deliver what the processor has to tell; a delivery that was not answered is repeated."""
        waiting = self.gateway.events[self._sent :]
        self._sent = len(self.gateway.events)
        for event in reversed(waiting) if backwards else waiting:
            self._verifier.events[event.id] = event
            for _ in range(2 if self.case.hooks is Hooks.DOUBLED else 1):
                await self._deliver(event)

    async def _deliver(self, event: Event) -> None:
        for _ in range(_WORKERS_MAX):
            process = self._start("webhook")
            try:
                await process.run(self._take_in(event))
            except (Killed, Unavailable):
                self.timeline.note(f"{event.id} was not answered")
            else:
                return

    async def _take_in(self, event: Event) -> None:
        await self._receive(event.id.encode(), ())
        await come_to(PointKind.REPLY, "the webhook is answered")

    async def _tell_early(self) -> None:
        if self.case.hooks is Hooks.EARLY and not self._telling and self._sent < len(self.gateway.events):
            self._telling = True
            try:
                await self.deliver()
                await self.work()
            finally:
                self._telling = False

    # The worker.

    async def recover(self) -> None:
        """What a worker does once every lease and pause has passed."""
        await self.books.make_due()
        await self.work()

    async def work(self) -> None:
        """Let a worker do what is due; one that is killed is started again, and finds its leases run out."""
        for _ in range(_WORKERS_MAX):
            self.acts.clock.advance(timedelta(seconds=1))
            try:
                await self._start("worker").run(self._work())
            except Killed:
                await self.books.make_due()
            except Unavailable:
                self.timeline.note("the worker has no database")
            else:
                return

    async def _work(self) -> None:
        for events in await self.acts.webhooks.claim(100):
            await self._guarded(self._apply(events))
        for attempt in await self.acts.recovery.claim(100):
            await self._guarded(self.acts.recovery.resume(attempt))

    async def _apply(self, events: Sequence[WebhookEvent]) -> None:
        applied = await self.acts.webhooks.apply(events)
        if applied.error is not None:
            raise applied.error

    async def _guarded(self, work: Awaitable[object]) -> None:
        """One piece of work that fails must not keep the others from being done."""
        try:
            await work
        except Unavailable:
            self.timeline.note("the worker lost its database")
        except Exception as error:  # noqa: BLE001  whatever else comes is a finding
            self._find(f"worker: {error!r}")

    async def finish(self) -> None:
        """Let everything come to rest: nothing goes wrong any more, and time passes."""
        if self.case.hooks in {Hooks.LATE, Hooks.LOST}:
            await self._settle_down()
        if self.case.hooks is Hooks.LATE:
            await self._a_day_passes()
        if self.case.hooks is Hooks.LOST:
            await self._sweep(self.acts.sweep_events, back=_HOUR)
            self._sent = len(self.gateway.events)
        await self.deliver(backwards=self.case.hooks is Hooks.REVERSED)
        await self._settle_down()
        await self._let_somebody_decide()
        for ask in list(self.asks.values()):
            if not ask.decided:
                await self._pursue(ask)
        if self.charges_that_are(ChargeStatus.UNCONFIRMED):
            await self._a_day_passes()
            await self._sweep(self.acts.sweep_orphans, back=7 * _DAY_OVER)
        await self.deliver()
        await self._settle_down()
        self.timeline.close()

    async def _sweep(self, sweep: Sweep, *, back: timedelta) -> None:
        """Run a sweep to its end, as the worker does that has run it last so long ago."""
        # Once the processor can be reached again it may still be killed, and the next one as well.
        for number in range(_WORKERS_MAX + 2):
            if number == _WORKERS_MAX - 1:
                await self._a_day_passes()
            now = self.acts.clock.now()
            run = SweepRun(name=sweep.name, runs=1, started_at=now, mark=now - back)
            try:
                await self._start("sweeper").run(_to_its_end(sweep, run))
            except (Killed, Unavailable, OutcomeUnknown):
                self.timeline.note(f"the sweep {sweep.name} broke off")
            else:
                return
        self._find(f"the sweep {sweep.name} never came to its end")

    async def _let_somebody_decide(self) -> None:
        """What was left to a person is decided by one, who looks at the processor's own pages."""
        for attempt in await self.books.left():
            self.decided_by_a_person = True
            if attempt["kind"] != "REFUND" or attempt["state"] != "MANUAL":
                self._find(f"the attempt to {attempt['kind']} is {attempt['state']}: {attempt['reason']}")
            made = [one.reference for one in self.gateway.refunds.values() if one.refund_id == attempt["refund_id"]]
            wanted = NewResolution(
                idempotency_key=f"resolve-{attempt['id']}",
                attempt_id=attempt["id"],
                resolution=AttemptResolution.MARK_REFUNDED if made else AttemptResolution.MARK_NOT_REFUNDED,
                reason="I have looked.",
                processor_reference=made[0] if made else None,
            )
            await self.ask(wanted.idempotency_key, self._resolution(wanted))
        await self._settle_down()

    def _resolution(self, wanted: NewResolution) -> Act:
        return lambda acts: acts.resolve_attempt(self.admin, wanted)

    async def _settle_down(self) -> None:
        for number in range(_ROUNDS_MAX):
            await self._wait_for_rival()
            if not await self.books.is_unfinished():
                return
            await self.recover()
            if number == 1:
                await self._a_day_passes()
            else:
                await self._age(_HOUR)

    # Somebody who stands still.

    async def stall(self, process: Process) -> None:
        """Let the rival go on until it is done, or waits for what the standing process holds."""
        self.timeline.note(f"{process.name} stands still; {self.case.rival} goes on")
        self._rival = asyncio.ensure_future(self._run_rival())
        while not self._rival.done():
            await asyncio.wait({self._rival}, timeout=_LOOK_SECONDS)
            if not self._rival.done() and await self.books.somebody_waits_for_a_lock():
                self.timeline.note(f"{self.case.rival} waits for {process.name}")
                break
        self.timeline.note(f"{process.name} goes on")

    async def _run_rival(self) -> None:
        if self.case.rival is Rival.WORKER:
            await self.books.make_due()
            await self.deliver()
            await self.work()
        elif self.case.rival is Rival.TWIN and self._asking is not None:
            await self._ask_once(self._asking)
        elif self.case.rival is Rival.OTHER and self.other is not None:
            await self._ask_once(self.asks.setdefault(self.other.key, self.other))

    async def _wait_for_rival(self) -> None:
        if self._rival is not None:
            await self._rival
            self._rival = None

    def _start(self, name: str) -> Process:
        self._processes += 1
        return Process(f"{name}-{self._processes}", self.timeline, self.stall)

    def _find(self, text: str) -> None:
        self.timeline.note(f"UNEXPECTED {text}")
        self.unexpected.append(text)


async def _to_its_end(sweep: Sweep, run: SweepRun) -> None:
    while (result := await sweep(run)).more:
        run = replace(run, mark=result.mark)


def _told(answer: Answer) -> str:
    what = answer.refund or answer.transaction
    codes = ", ".join(refusal.code for refusal in answer.refusals)
    return (
        f"{what.status if what else 'nothing'}{f' ({codes})' if codes else ''}{', replayed' if answer.replayed else ''}"
    )


async def open_world(
    case: Case,
    *,
    engine: AsyncEngine,
    observer: Observer,
    run: int,
    assembly: Assembly = as_it_is,
) -> World:
    """A world with a payer and one of the staff; `run` is a number that no other run on this database has."""
    timeline = Timeline({point: how for how, point in case.strikes})
    fault, at = case.fault if case.fault is not None else (None, -1)
    name = f"{run:x}"
    gateway = FaultyGateway(name=name, timeline=timeline, fault=fault, at=at)
    ids = SequentialIds(after=run << 16)
    people = [user(ids.new()), user(ids.new(), role=Role.SUPPORT), user(ids.new(), role=Role.ADMIN)]
    await observer.execute_many(
        "INSERT INTO users (id, email, name, role, created_at) VALUES ($1, $2, $3, $4, $5)",
        [(one.id, one.email, one.name, one.role.value, one.created_at) for one in people],
    )
    payer, staff, admin = map(actor, people)
    return World(
        case=case,
        timeline=timeline,
        gateway=gateway,
        acts=assembly(engine, gateway, ids),
        books=Bookkeeper(observer, [one.id for one in people]),
        payer=payer,
        staff=staff,
        admin=admin,
    )
