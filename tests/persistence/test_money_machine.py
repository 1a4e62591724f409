"""Hypothesis plays payers, staff, the processor, the worker and bad luck against each other, and counts the money."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Role
from domain.currencies import Currency
from domain.errors import Refusal, Unavailable
from domain.ids import AttemptId, TransactionId
from domain.ledger.verify import verify
from domain.messaging.webhook_events import EventSubject
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.gateway import (
    ChargeReport,
    ChargeStatus,
    OutcomeUnknown,
    RefundOrder,
    RefundReportStatus,
    RequestRejected,
)
from domain.payments.resolve_attempt import AttemptResolution
from domain.payments.transaction import CAPTURED, LEGAL_EDGES, CaptureMethod, TransactionStatus
from domain.reconciliation.records import Window
from persistence.engine import open_engine
from persistence.stored_ledger import SqlStoredLedger
from tests.persistence.test_orphans import sweep
from tests.persistence.test_resolve_attempt import resolve
from tests.support.acts import Acts
from tests.support.database import empty, make_due, patient_config, rows
from tests.support.fake_records import FakeRecords
from tests.support.units import Break

T = TypeVar("T")

KEYS = st.sampled_from(["k1", "k2", "k3"])
DECISIONS = [AttemptResolution.LOOK_UP_AGAIN, AttemptResolution.MARK_FAILED, AttemptResolution.MARK_NOT_REFUNDED]
NUMBERS = st.integers(min_value=0, max_value=9)
# Each key with the payment that it is for: mostly ones that go well, or else there would be little to refund.
PAYMENTS = {
    "tea": ("pm_card_visa", CaptureMethod.AUTOMATIC),
    "cake": ("pm_card_visa", CaptureMethod.AUTOMATIC),
    "room": ("pm_card_visa", CaptureMethod.MANUAL),
    "book": ("pm_card_authenticationRequired", CaptureMethod.AUTOMATIC),
    "bill": ("pm_fake_processing", CaptureMethod.AUTOMATIC),
    "watch": ("pm_card_visa_chargeDeclined", CaptureMethod.AUTOMATIC),
}


class Luck(Enum):
    """What happens to the calls and commits of one act."""

    GOOD = "nothing"
    ANSWER_LOST = "the call is carried out, but not answered"
    CALL_LOST = "the call does not arrive"
    BREAK = "a commit breaks off"


LUCKS = st.tuples(st.sampled_from(Luck), st.integers(min_value=0, max_value=5), st.sampled_from(Break))


class MoneyMachine(RuleBasedStateMachine):
    """Every step is one thing that may happen; what it comes to is checked after each."""

    loop: asyncio.AbstractEventLoop
    engine: AsyncEngine

    def __init__(self) -> None:
        super().__init__()
        self.acts = Acts(engine=self.engine)
        self.acknowledged: set[TransactionId] = set()
        self.transactions: list[TransactionId] = []
        self.challenged: set[str] = set()
        self.changed = False
        self.stored: list[tuple[object, ...]] = []

    def do(self, work: Coroutine[object, object, T]) -> T:
        self.changed = True
        return self.loop.run_until_complete(work)

    @contextmanager
    def with_luck(self, luck: tuple[Luck, int, Break], *calls: str) -> Iterator[None]:
        """Let it go wrong in one place; what the API may answer then is a refusal, or that it cannot answer now."""
        what, place, how = luck
        if what is Luck.BREAK:
            self.acts.units.break_off(how, after=place)
        elif what is Luck.ANSWER_LOST:
            self.acts.gateway.lose_next_answer(calls[place % len(calls)])
        elif what is Luck.CALL_LOST:
            self.acts.gateway.fail_next(calls[place % len(calls)], OutcomeUnknown("it did not arrive"))
        with suppress(Refusal, Unavailable):
            yield
        self.acts.units.heal()
        self.acts.gateway.forget_faults()

    def remember(self, answer: Answer) -> None:
        assert answer.transaction is not None
        if answer.transaction.id not in self.transactions:
            self.transactions.append(answer.transaction.id)
        if answer.transaction.status in CAPTURED:
            self.acknowledged.add(answer.transaction.id)

    @initialize()
    def begin(self) -> None:
        self.do(empty(self.engine))
        self.payer: Actor = self.do(self.acts.add_actor())
        self.staff: Actor = self.do(self.acts.add_actor(Role.SUPPORT))
        self.administrator: Actor = self.do(self.acts.add_actor(Role.ADMIN))
        # Something to refund, to capture and to wait for from the start.
        for key in ("tea", "cake", "room", "book"):
            self.pay(key=key, amount=1000, luck=(Luck.GOOD, 0, Break.BEFORE_COMMIT))

    # What people do.

    @rule(key=st.sampled_from(list(PAYMENTS)), amount=st.sampled_from([1000, 1000, 1000, 700]), luck=LUCKS)
    def pay(self, key: str, amount: int, luck: tuple[Luck, int, Break]) -> None:
        method, capture = PAYMENTS[key]
        with self.with_luck(luck, "create_charge", "confirm_charge", "cancel_charge"):
            money = Money(amount, Currency.USD)
            self.remember(self.do(self.acts.pay(self.payer, key, money=money, method=method, capture=capture)))

    @precondition(lambda self: self.transactions)
    @rule(
        number=NUMBERS,
        key=KEYS,
        amount=st.sampled_from([None, 1, 300]),
        luck=LUCKS,
        outage=st.sampled_from([None, 0, 25]),
    )
    def refund(
        self, number: int, key: str, amount: int | None, luck: tuple[Luck, int, Break], outage: int | None
    ) -> None:
        """Refund; with an outage of so many hours, the worker is the next to look after it."""
        with self.with_luck(luck, "refund_charge"):
            self.do(self.acts.refund(self.payer, self.pick(number), amount, key=key))
        if outage is not None:
            self.acts.age(timedelta(hours=outage))
            self.do(self.acts.recover())

    @precondition(lambda self: self.transactions)
    @rule(number=NUMBERS, key=KEYS, amount=st.sampled_from([None, 300]), void=st.booleans(), luck=LUCKS)
    def decide(self, number: int, key: str, amount: int | None, void: bool, luck: tuple[Luck, int, Break]) -> None:
        """Staff take what is held, or let it go."""
        transaction_id = self.pick(number)
        with self.with_luck(luck, "cancel_charge" if void else "capture_charge"):
            if void:
                self.do(self.acts.void(self.staff, transaction_id, key=key))
            else:
                self.remember(self.do(self.acts.capture(self.staff, transaction_id, amount, key=key)))

    @rule(success=st.booleans())
    def payer_acts(self, success: bool) -> None:
        for reference in self.charges_that_are(ChargeStatus.REQUIRES_ACTION):
            self.challenged.add(reference)
            self.acts.gateway.authenticate(reference, success=success)

    def payer_tries_again(self) -> None:
        """Whoever was sent to a challenge holds the client secret, and may in the end confirm a declined charge with it."""
        for reference in self.challenged.intersection(self.charges_that_are(ChargeStatus.DECLINED)):
            self.acts.gateway.succeed_after_all(reference)

    # What the processor does.

    @rule()
    def processor_settles(self) -> None:
        for reference in self.charges_that_are(ChargeStatus.PROCESSING):
            self.acts.gateway.settle(reference)

    @precondition(lambda self: self.acts.gateway.refunds)
    @rule(number=NUMBERS)
    def refund_fails_late(self, number: int) -> None:
        references = list(self.acts.gateway.refunds)
        self.acts.gateway.settle_refund(references[number % len(references)], RefundReportStatus.FAILED)

    @precondition(lambda self: self.acts.gateway.charges)
    @rule(number=NUMBERS, amount=st.sampled_from([1, 300]))
    def refund_in_dashboard(self, number: int, amount: int) -> None:
        references = list(self.acts.gateway.charges)
        charge = self.acts.gateway.charges[references[number % len(references)]]
        if charge.captured - self.given_back(charge.reference) >= amount:
            order = RefundOrder(
                refund_id=None,  # type: ignore[arg-type]  # a refund that is not ours names no id of ours
                transaction_id=self.transactions[0] if self.transactions else TransactionId(self.payer.user_id),
                charge_reference=charge.reference,
                money=Money(amount, Currency.USD),
                reason=None,
            )
            # A charge that its bank has taken back is not refunded.
            with suppress(RequestRejected):
                self.do(self.acts.gateway.refund_charge(order, key=f"dashboard-{len(self.acts.gateway.calls)}"))

    @precondition(lambda self: self.charges_that_are(ChargeStatus.SUCCEEDED))
    @rule(number=NUMBERS, amount=st.sampled_from([None, 300]))
    def bank_disputes(self, number: int, amount: int | None) -> None:
        """Whatever has gone back already: a bank may take more than is left."""
        references = self.charges_that_are(ChargeStatus.SUCCEEDED)
        self.acts.gateway.dispute(references[number % len(references)], amount)

    @precondition(lambda self: self.acts.gateway.disputes.all)
    @rule(number=NUMBERS, won=st.booleans())
    def bank_decides(self, number: int, won: bool) -> None:
        """It may overturn a decision, too."""
        reports = self.acts.gateway.disputes.all
        self.acts.gateway.disputes.close(reports[number % len(reports)].reference, won=won)

    @rule(
        number=NUMBERS,
        subject=st.sampled_from([EventSubject.CHARGE, EventSubject.REFUND, EventSubject.DISPUTE]),
        times=st.integers(1, 2),
        luck=LUCKS,
    )
    def event(self, number: int, subject: EventSubject, times: int, luck: tuple[Luck, int, Break]) -> None:
        references = self.references_of(subject)
        if references:
            with self.with_luck(luck, "look_up_charge", "look_up_refund", "look_up_dispute", "cancel_charge"):
                self.do(self.acts.tell(subject, references[number % len(references)], times=times))

    @rule(hours=st.sampled_from([0, 25]), luck=LUCKS)
    def worker_looks(self, hours: int, luck: tuple[Luck, int, Break]) -> None:
        self.acts.age(timedelta(hours=hours))
        calls = ("confirm_charge", "look_up_charge", "list_refunds", "refund_charge", "cancel_charge", "capture_charge")
        with self.with_luck(luck, *calls):
            self.do(self.acts.recover())

    @rule()
    def worker_dies(self) -> None:
        """A worker takes up all that is due, and never says how it ended."""
        self.do(make_due(self.engine))
        self.do(self.acts.recovery.claim(100))

    @rule(hours=st.sampled_from([26, 100]))
    def sweep_orphans(self, hours: int) -> None:
        self.do(sweep(self.acts, after=timedelta(hours=hours)))

    def left_to_a_person(self) -> list[tuple[AttemptId, TransactionId]]:
        query = "SELECT id, transaction_id FROM attempts WHERE state IN ('MANUAL', 'PARKED') ORDER BY id"
        found = self.do(rows(self.engine, query))
        return [(AttemptId(UUID(str(one))), TransactionId(UUID(str(of)))) for one, of in found]

    @rule(number=NUMBERS, resolution=st.sampled_from(DECISIONS), luck=LUCKS)
    def administrator_decides(self, number: int, resolution: AttemptResolution, luck: tuple[Luck, int, Break]) -> None:
        """Whatever they say, the processor is asked first; a decision that it contradicts is refused."""
        left = self.left_to_a_person()
        if left:
            calls = ("look_up_charge", "cancel_charge", "list_refunds", "confirm_charge", "refund_charge")
            attempt_id, _ = left[number % len(left)]
            with self.with_luck(luck, *calls):
                key = f"decision-{len(self.acts.gateway.calls)}"
                self.do(resolve(self.acts, self.administrator, attempt_id, resolution, key=key))

    # What must hold after each of these.

    @invariant()
    def all_is_well(self) -> None:
        if self.changed:
            query = "SELECT id, status, captured, refund_reserved, refunded, processor_reference FROM transactions"
            self.stored = self.do(rows(self.engine, query))
            self.money_adds_up()
            self.every_change_is_in_the_audit_log()
            self.acknowledged_payments_stay()
            self.ledger_agrees()
        self.changed = False

    def money_adds_up(self) -> None:
        gateway = self.acts.gateway
        for transaction_id, _, captured, reserved, refunded, _ in self.stored:
            assert isinstance(captured, int)
            assert isinstance(reserved, int)
            assert isinstance(refunded, int)
            assert 0 <= refunded <= reserved <= captured
            taken = [
                charge
                for charge in gateway.charges.values()
                if charge.transaction_id == transaction_id
                and charge.status not in {ChargeStatus.UNCONFIRMED, ChargeStatus.CANCELED, ChargeStatus.DECLINED}
            ]
            assert len(taken) <= 1, "one payment has two charges that may take money"
        for charge in gateway.charges.values():
            assert self.given_back(charge.reference) <= charge.captured

    def every_change_is_in_the_audit_log(self) -> None:
        entries = self.do(
            rows(
                self.engine,
                "SELECT transaction_id, action, details->>'from' FROM audit_entries"
                " WHERE action LIKE 'transaction.%' ORDER BY number",
            )
        )
        told: dict[object, str] = {}
        for transaction_id, action, came_from in entries:
            before, after = str(came_from), str(action).removeprefix("transaction.").upper()
            if after == "CREATED":
                assert transaction_id not in told
                told[transaction_id] = "PENDING"
                continue
            assert before == told[transaction_id]
            assert (TransactionStatus(before), TransactionStatus(after)) in LEGAL_EDGES
            told[transaction_id] = after
        assert {one: str(status) for one, status, *_ in self.stored} == told

    def acknowledged_payments_stay(self) -> None:
        taken = {one for one, status, *_ in self.stored if TransactionStatus(str(status)) in CAPTURED}
        assert self.acknowledged <= taken

    def ledger_agrees(self) -> None:
        """The ledger adds up, and says of every transaction what the tables say."""
        assert self.do(verify(SqlStoredLedger(self.engine), lambda *_: None)).differences == ()

    def teardown(self) -> None:
        """Once nothing goes wrong any more, everything is found out, and our books say what the processor's say."""
        self.payer_tries_again()
        self.do(self.acts.recover())
        # What was parked can be taken up again, however often it was put aside.
        for number, (attempt_id, _) in enumerate(self.left_to_a_person()):
            key = f"teardown-{number}"
            self.do(resolve(self.acts, self.administrator, attempt_id, AttemptResolution.LOOK_UP_AGAIN, key=key))
        self.do(self.acts.recover())
        self.do(self.acts.tell_all(EventSubject.REFUND, list(self.acts.gateway.refunds)))
        self.do(self.acts.tell_all(EventSubject.CHARGE, list(self.acts.gateway.charges)))
        self.do(self.acts.tell_all(EventSubject.DISPUTE, self.references_of(EventSubject.DISPUTE)))
        self.do(self.acts.recover())
        self.do(self.acts.apply_events())
        self.all_is_well()
        query = "SELECT transaction_id FROM attempts WHERE state = 'PARKED'"
        assert self.do(rows(self.engine, query)) == []
        left_to_a_person = {of for _, of in self.left_to_a_person()}
        for transaction_id, status, captured, reserved, refunded, recorded in self.stored:
            charge = self.acts.gateway.charges.get(str(recorded))
            assert captured == (charge.captured if charge is not None else 0)
            if transaction_id not in left_to_a_person:
                assert reserved == refunded == (self.given_back(charge.reference) if charge is not None else 0)
            if status in {"PENDING", "REQUIRES_ACTION"}:
                assert charge is not None
                assert charge.status in {ChargeStatus.PROCESSING, ChargeStatus.REQUIRES_ACTION}
        # To the cent, whatever went wrong: what the processor holds of a payment is what our ledger says that it holds.
        held, theirs = self.do(self.held_by_the_ledger()), self.do(self.held_by_the_processor())
        for transaction_id, *_, recorded in self.stored:
            # A refund made in the dashboard waits while one of ours holds the money, which only a person can decide.
            if transaction_id not in left_to_a_person:
                assert held.get(transaction_id, 0) == theirs.get(str(recorded), 0)

    async def held_by_the_ledger(self) -> dict[object, int]:
        """By transaction."""
        query = (
            "SELECT e.transaction_id, sum(l.amount)::bigint FROM journal_entries e"
            " JOIN ledger_entries l ON l.entry_id = e.id JOIN ledger_accounts a ON a.id = l.account_id"
            " WHERE a.kind = 'PROCESSOR_BALANCE' GROUP BY 1"
        )
        return {transaction_id: int(str(total)) for transaction_id, total in await rows(self.engine, query)}

    async def held_by_the_processor(self) -> dict[str, int]:
        """By charge."""
        always = Window(start=datetime(1, 1, 1, tzinfo=UTC), end=datetime(9999, 1, 1, tzinfo=UTC))
        held: Counter[str] = Counter()
        async for entry in FakeRecords(self.acts.gateway).balance_entries(always):
            assert entry.source is not None
            charge = entry.source.reference if isinstance(entry.source, ChargeReport) else entry.source.charge_reference
            held[charge] += entry.net
        return held

    def references_of(self, subject: EventSubject) -> list[str]:
        gateway = self.acts.gateway
        if subject is EventSubject.DISPUTE:
            return [report.reference for report in gateway.disputes.all]
        return list(gateway.refunds if subject is EventSubject.REFUND else gateway.charges)

    def pick(self, number: int) -> TransactionId:
        return self.transactions[number % len(self.transactions)]

    def charges_that_are(self, status: ChargeStatus) -> list[str]:
        return [reference for reference, charge in self.acts.gateway.charges.items() if charge.status is status]

    def given_back(self, charge_reference: str) -> int:
        return sum(
            refund.money.minor_units
            for refund in self.acts.gateway.refunds.values()
            if refund.charge_reference == charge_reference and refund.status is not RefundReportStatus.FAILED
        )


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of its own: Hypothesis runs the machine's steps from outside of any."""
    own = asyncio.new_event_loop()
    yield own
    own.close()


def test_no_money_is_lost_or_moved_twice(
    app_database_url: str, migrated_engine: AsyncEngine, loop: asyncio.AbstractEventLoop
) -> None:
    own_engine = open_engine(patient_config(app_database_url))

    class Machine(MoneyMachine):
        pass

    Machine.loop, Machine.engine = loop, own_engine
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                # Not shrunk, because that takes minutes: fifteen steps can be read as they are.
                phases=[Phase.explicit, Phase.generate],
                max_examples=30,
                stateful_step_count=15,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
    finally:
        loop.run_until_complete(own_engine.dispose())
