"""Hypothesis asks the whole application for anything, over HTTP, and holds each answer against the model's.

FLORIN_MACHINE_EXAMPLES says how many stories it makes up; the few of every run are the same each time.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import orjson
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

from domain.payments.recovery import Recovery
from domain.payments.transaction import TransactionStatus
from persistence.engine import open_engine
from tests.api.application import CAPTURE, REFUND, SHOW, VOID, Florin, Json, Person, running, usd
from tests.api.test_webhooks import deliver, signature
from tests.faults.machine.model import Answer, Card, Challenge, Model, Payment, Refund
from tests.support.database import empty, make_due, patient_config

T = TypeVar("T")

EXAMPLES = int(os.environ.get("FLORIN_MACHINE_EXAMPLES", "6"))
STEPS = 20

CUSTOMERS = st.sampled_from(["ada", "alan"])
STAFF = st.sampled_from(["grace", "margaret"])
ANYBODY = st.sampled_from(["ada", "alan", "grace", "margaret"])
KEYS = st.sampled_from(["one", "two", "three"])
NUMBERS = st.integers(min_value=0, max_value=9)


class ApiMachine(RuleBasedStateMachine):
    """Each rule does one thing in both worlds and compares what they answer."""

    loop: asyncio.AbstractEventLoop
    engine: AsyncEngine

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.ids: dict[int, str] = {}
        self.refund_ids: dict[int, str] = {}
        self.delivered = 0
        self.stack = AsyncExitStack()

    def do(self, work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine sends and receives
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.do(empty(self.engine))
        self.florin: Florin = self.do(self.stack.enter_async_context(running(self.engine)))
        # Something to refund, to decide about and to wait for from the start.
        for key, card, manual in (
            ("one", Card.GOOD, False),
            ("two", Card.GOOD, True),
            ("three", Card.CHALLENGED, False),
        ):
            self.pay(who="ada", key=key, card=card, amount=1000, manual=manual)

    def teardown(self) -> None:
        self.do(self.stack.aclose())

    # What people do.

    @rule(
        who=CUSTOMERS,
        key=KEYS,
        card=st.sampled_from([Card.GOOD, Card.GOOD, Card.DECLINED, Card.CHALLENGED]),
        amount=st.sampled_from([1000, 1000, 700]),
        manual=st.booleans(),
    )
    def pay(self, who: str, key: str, card: Card, amount: int, manual: bool) -> None:
        expected = self.model.pay(who, key, card, amount, is_manual=manual)
        method = "MANUAL" if manual else "AUTOMATIC"
        self.compare(
            self.do(self.person(who).pay(key, money=usd(amount), paymentMethodId=card.value, captureMethod=method)),
            expected,
        )

    @precondition(lambda self: self.model.payments)
    @rule(who=ANYBODY, number=NUMBERS, key=KEYS, amount=st.sampled_from([None, 300, 2000]))
    def capture(self, who: str, number: int, key: str, amount: int | None) -> None:
        self.decide(who, "capture", CAPTURE, key, self.pick(number), amount)

    @precondition(lambda self: self.model.payments)
    @rule(who=ANYBODY, number=NUMBERS, key=KEYS)
    def void(self, who: str, number: int, key: str) -> None:
        self.decide(who, "void", VOID, key, self.pick(number), None)

    def decide(self, who: str, act: str, mutation: str, key: str, about: Payment, amount: int | None) -> None:
        wanted: Json = {"idempotencyKey": key, "transactionId": self.ids[id(about)]}
        if amount is not None:
            wanted["money"] = usd(amount)
        if who in {"ada", "alan"}:
            error = self.do(self.person(who).refused(mutation, {"input": wanted}))
            assert error["extensions"]["code"] == "FORBIDDEN"
            return
        expected = self.model.capture(who, key, about, amount) if act == "capture" else self.model.void(who, key, about)
        self.compare(self.do(self.person(who).ask(mutation, {"input": wanted}))[act], expected)

    @precondition(lambda self: self.model.payments)
    @rule(who=ANYBODY, number=NUMBERS, key=KEYS, amount=st.sampled_from([None, 300, 300, 1000]))
    def refund(self, who: str, number: int, key: str, amount: int | None) -> None:
        about = self.pick(number)
        expected = self.model.refund(who, key, about, amount, is_staff=who in {"grace", "margaret"})
        wanted: Json = {"idempotencyKey": key, "transactionId": self.ids[id(about)]}
        if amount is not None:
            wanted["money"] = usd(amount)
        self.compare(self.do(self.person(who).ask(REFUND, {"input": wanted}))["refund"], expected)

    @precondition(lambda self: self.challenged())
    @rule(number=NUMBERS, passed=st.booleans())
    def payer_answers(self, number: int, passed: bool) -> None:
        waiting = self.challenged()
        about = waiting[number % len(waiting)]
        about.challenge = Challenge.PASSED if passed else Challenge.FAILED
        self.do(self._answer_challenge(self.ids[id(about)], "complete" if passed else "fail"))

    # What the processor and the worker do.

    @precondition(lambda self: self.live_refunds())
    @rule(number=NUMBERS)
    def refund_fails_late(self, number: int) -> None:
        refunds = self.live_refunds()
        refund = refunds[number % len(refunds)]
        refund.failed_unheard = True
        self.do(self.florin.sandbox.control(f"refunds/{self.refund_ids[id(refund)]}/settle", {"outcome": "fail"}))

    @rule(times=st.integers(1, 2), backwards=st.booleans())
    def events_arrive(self, times: int, backwards: bool) -> None:
        self.do(self._deliver_events(times, backwards=backwards))
        self.model.hear_of_charges()
        self.model.hear_of_refunds()

    @rule()
    def worker_looks(self) -> None:
        self.do(self._recover())
        self.model.hear_of_charges()

    # What must hold after each of these.

    @invariant()
    def everybody_sees_what_is_theirs(self) -> None:
        for about in self.model.payments[-3:]:
            for who in ("ada", "alan", "grace"):
                shown = self.do(self.person(who).ask(SHOW, {"id": self.ids[id(about)]}))["transaction"]
                if who in {about.owner, "grace"}:
                    _compare_payment(shown, about)
                else:
                    assert shown is None

    def compare(self, payload: Json, expected: Answer) -> None:
        assert tuple(error["code"] for error in payload["errors"]) == expected.errors
        assert payload["replayed"] is expected.replayed
        if expected.payment is None:
            assert payload["transaction"] is None
        else:
            assert payload["transaction"]["id"] == self.ids.setdefault(
                id(expected.payment), payload["transaction"]["id"]
            )
            _compare_payment(payload["transaction"], expected.payment)
        if expected.refund is not None:
            shown = payload["refund"]
            self.refund_ids.setdefault(id(expected.refund), shown["processorReference"])
            assert shown["processorReference"] == self.refund_ids[id(expected.refund)]
            assert shown["status"] == ("FAILED" if expected.refund.failed else "COMPLETED")
            assert int(shown["money"]["amountMinor"]) == expected.refund.minor_units

    def person(self, name: str) -> Person:
        person: Person = getattr(self.florin, name)
        return person

    def pick(self, number: int) -> Payment:
        return self.model.payments[number % len(self.model.payments)]

    def challenged(self) -> list[Payment]:
        """Payments whose challenge is open, to us and to the processor."""
        return [
            one
            for one in self.model.payments
            if one.challenge is Challenge.OPEN and one.status is TransactionStatus.REQUIRES_ACTION
        ]

    def live_refunds(self) -> list[Refund]:
        return [
            refund
            for one in self.model.payments
            for refund in one.refunds
            if not refund.failed and not refund.failed_unheard
        ]

    async def _answer_challenge(self, transaction_id: str, outcome: str) -> None:
        shown = await self.florin.grace.transaction(transaction_id)
        intent = await self.florin.sandbox.get(f"/v1/payment_intents/{shown['processorReference']}")
        assert not (await self.florin.sandbox.authenticate(intent, outcome)).is_error

    async def _deliver_events(self, times: int, *, backwards: bool) -> None:
        """Deliver every event that has not been delivered, so many times each, and let the worker apply them."""
        page = await self.florin.sandbox.get("/v1/events", {"limit": 100})
        fresh = page["data"][: len(page["data"]) - self.delivered]
        self.delivered = len(page["data"])
        for event in fresh if backwards else reversed(fresh):
            body = orjson.dumps(event)
            for _ in range(times):
                assert (await deliver(self.florin, body, [signature(body)])).status_code == 200
        await make_due(self.florin.parts.engine)
        while claimed := await self.florin.parts.webhooks.claim(100):
            for events in claimed:
                applied = await self.florin.parts.webhooks.apply(events)
                assert applied.error is None

    async def _recover(self) -> None:
        """What a worker does once every lease and pause is over."""
        await make_due(self.florin.parts.engine)
        recovery = Recovery(units=self.florin.parts.units, runner=self.florin.parts.runner)
        for attempt in await recovery.claim(100):
            await recovery.resume(attempt)


def _compare_payment(shown: Json, expected: Payment) -> None:
    assert shown["status"] == expected.status
    amounts = {name: int(shown[f"{name}Money"]["amountMinor"]) for name in ("captured", "refunded", "refundable")}
    assert amounts == {
        "captured": expected.captured,
        "refunded": expected.refunded,
        "refundable": expected.refundable,
    }


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of its own: Hypothesis runs the machine's steps from outside of any."""
    own = asyncio.new_event_loop()
    yield own
    own.close()


def test_the_api_answers_what_the_model_answers(
    database_url: str, migrated_engine: AsyncEngine, loop: asyncio.AbstractEventLoop
) -> None:
    engine = open_engine(patient_config(database_url))

    class Machine(ApiMachine):
        pass

    Machine.loop, Machine.engine = loop, engine
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                # Not shrunk, because that takes minutes: twenty steps can be read as they are.
                phases=[Phase.explicit, Phase.generate],
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
    finally:
        loop.run_until_complete(engine.dispose())
