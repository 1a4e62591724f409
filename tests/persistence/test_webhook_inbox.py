"""What may come into the inbox: told twice or late, of other accounts and modes, untrue, in heaps, or too much for us."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain import leases
from domain.access import Role
from domain.currencies import Currency
from domain.ids import NIL, RefundId, TransactionId, WebhookEventId
from domain.messaging.apply_webhooks import FAILURES_MAX, UNREADABLE_TRIES_MAX, Applied
from domain.messaging.reapply_webhook import NewReapplication, ReapplyWebhook
from domain.messaging.webhook_events import EventState, EventSubject
from domain.money import Money
from domain.payments.gateway import OutcomeUnknown, RefundReport, RefundReportStatus, Unreadable
from domain.payments.transaction import Transaction, TransactionStatus
from tests.support.acts import Acts, transaction_in
from tests.support.database import make_due, rows
from tests.support.fake_gateway import ACCOUNT
from tests.support.waiting import until

S = TransactionStatus
CHARGE, REFUND, OTHER = EventSubject.CHARGE, EventSubject.REFUND, EventSubject.OTHER
APPLIED, IGNORED, QUARANTINED, RECEIVED, PARKED = (
    EventState.APPLIED,
    EventState.IGNORED,
    EventState.QUARANTINED,
    EventState.RECEIVED,
    EventState.PARKED,
)
STRAY = TransactionId(NIL)


async def left_open(acts: Acts, key: str = "key-1") -> Transaction:
    """A payment whose confirmation was carried out, but not answered."""
    acts.gateway.lose_next_answer("confirm_charge")
    return transaction_in(await acts.pay(await acts.add_actor(), key))


async def reasons(acts: Acts) -> list[str]:
    return [str(reason) for (reason,) in await rows(acts.engine, "SELECT reason FROM webhook_events ORDER BY id")]


def looks(acts: Acts) -> int:
    return len(acts.gateway.calls_of("look_up_charge")) + len(acts.gateway.calls_of("look_up_refund"))


# Told again.


async def test_an_event_that_comes_twice_before_it_is_applied_costs_one_look(acts: Acts) -> None:
    pending = await left_open(acts)
    event = acts.event("evt_1", CHARGE, pending.processor_reference)
    async with acts.units.begin() as uow:
        await uow.webhook_events.store(event, acts.clock.now())
    assert await acts.tell_of(event) == [APPLIED]
    assert await rows(acts.engine, "SELECT count(*) FROM webhook_events") == [(1,)]
    assert looks(acts) == 1


async def test_an_event_that_is_played_again_after_29_days_is_not_even_looked_at(acts: Acts) -> None:
    pending = await left_open(acts)
    event = acts.event("evt_1", CHARGE, pending.processor_reference)
    assert await acts.tell_of(event) == [APPLIED]
    done, looked = await acts.now(pending.id), looks(acts)
    acts.age(timedelta(days=29))
    assert await acts.tell_of(event) == []
    assert (await acts.now(pending.id), looks(acts)) == (done, looked)


async def test_an_event_that_was_pruned_and_is_played_again_changes_nothing(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    event = acts.event("evt_1", CHARGE, paid.processor_reference)
    assert await acts.tell_of(event) == [APPLIED]
    assert (await acts.refund(payer, paid.id)).refusals == ()
    refunded, log = await acts.now(paid.id), await acts.audit(paid.id)
    (named,) = await rows(acts.engine, "DELETE FROM webhook_events RETURNING public_id")
    acts.age(timedelta(days=29))
    assert await acts.tell_of(event) == [APPLIED]
    assert (await acts.now(paid.id), await acts.audit(paid.id)) == (refunded, log)
    assert await rows(acts.engine, "SELECT public_id FROM webhook_events") == [named]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_events_of_the_same_second_either_may_come_first(acts: Acts, order: Sequence[int]) -> None:
    waiting = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired"))
    reference = waiting.processor_reference or ""
    told = [
        replace(acts.event(f"evt_{what}", CHARGE, reference), type=what) for what in ("requires_action", "succeeded")
    ]
    acts.gateway.authenticate(reference)
    for number in order:
        assert await acts.tell_of(told[number]) == [APPLIED]
        assert (await acts.now(waiting.id)).status is S.COMPLETED
    assert await acts.audit(waiting.id) == [
        "transaction.created",
        "transaction.requires_action",
        "transaction.completed",
    ]


# Of others.


async def test_an_event_of_another_mode_is_quarantined_unseen(acts: Acts) -> None:
    pending = await left_open(acts)
    event = replace(acts.event("evt_1", CHARGE, pending.processor_reference), live=True)
    assert await acts.tell_of(event) == [QUARANTINED]
    assert await reasons(acts) == ["The event is of live mode, this service of test mode."]
    assert await acts.now(pending.id) == pending
    assert looks(acts) == 0


async def test_an_event_of_another_account_is_quarantined_unseen(acts: Acts) -> None:
    pending = await left_open(acts)
    event = replace(acts.event("evt_1", CHARGE, pending.processor_reference), account="acct_other")
    assert await acts.tell_of(event) == [QUARANTINED]
    assert await reasons(acts) == [f"The event is of the account acct_other, our key of {ACCOUNT}."]
    assert await acts.now(pending.id) == pending
    assert looks(acts) == 0


async def test_an_event_that_names_our_account_is_as_good_as_one_that_names_none(acts: Acts) -> None:
    pending = await left_open(acts)
    event = replace(acts.event("evt_1", CHARGE, pending.processor_reference), account=ACCOUNT)
    assert await acts.tell_of(event) == [APPLIED]
    assert (await acts.now(pending.id)).status is S.COMPLETED


async def test_an_event_waits_while_nobody_can_say_whose_account_is_ours(acts: Acts) -> None:
    pending = await left_open(acts)
    acts.gateway.fail_next("account", OutcomeUnknown("away"))
    event = replace(acts.event("evt_1", CHARGE, pending.processor_reference), account=ACCOUNT)
    assert await acts.tell_of(event) == [RECEIVED]
    assert await acts.now(pending.id) == pending
    assert await acts.apply_events() == [APPLIED]


async def test_events_of_two_modes_about_one_object_are_judged_apart(acts: Acts) -> None:
    pending = await left_open(acts)
    event = acts.event("evt_1", CHARGE, pending.processor_reference)
    async with acts.units.begin() as uow:
        await uow.webhook_events.store(replace(event, id="evt_2", live=True), acts.clock.now())
    assert sorted(await acts.tell_of(event)) == [APPLIED, QUARANTINED]
    assert await rows(acts.engine, "SELECT id, state FROM webhook_events ORDER BY id") == [
        ("evt_1", "APPLIED"),
        ("evt_2", "QUARANTINED"),
    ]


# Unknown and untrue.


async def test_a_charge_that_claims_to_be_ours_but_is_in_no_book_is_suspicious(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    foreign = acts.gateway.add_foreign_charge(paid.processor_reference or "")
    acts.gateway.falsify(foreign, transaction_id=STRAY)
    assert await acts.tell(CHARGE, foreign) == [QUARANTINED]
    assert await reasons(acts) == [f"The charge {foreign} names a transaction of ours that does not exist."]
    assert await acts.now(paid.id) == paid


async def stray_refund(acts: Acts, charge_reference: str, **changes: object) -> str:
    """A refund at the processor that nobody of ours has asked for; its reference."""
    report = RefundReport(
        reference="re_stray",
        charge_reference=charge_reference,
        status=RefundReportStatus.SUCCEEDED,
        money=Money(300, Currency.USD),
        reason=None,
        refund_id=None,
    )
    acts.gateway.add_refund(replace(report, **changes))  # type: ignore[arg-type]  # fields of several types
    return report.reference


async def assert_nothing_refunded(acts: Acts, paid: Transaction) -> None:
    assert await acts.now(paid.id) == paid
    assert await rows(acts.engine, "SELECT count(*) FROM refunds") == [(0,)]


async def test_a_refund_that_claims_to_be_ours_but_is_in_no_book_is_suspicious(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    reference = await stray_refund(acts, paid.processor_reference or "", refund_id=RefundId(NIL))
    assert await acts.tell(REFUND, reference) == [QUARANTINED]
    assert await rows(acts.engine, "SELECT transaction_id FROM webhook_events") == [(paid.id,)]
    await assert_nothing_refunded(acts, paid)


async def test_a_refund_that_claims_to_be_ours_of_a_charge_that_is_not_is_suspicious(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    reference = await stray_refund(acts, "ch_without_intent", refund_id=RefundId(NIL))
    assert await acts.tell(REFUND, reference) == [QUARANTINED]
    await assert_nothing_refunded(acts, paid)


async def test_a_refund_of_a_charge_of_another_kind_is_somebody_elses(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    assert await acts.tell(REFUND, await stray_refund(acts, "ch_without_intent")) == [IGNORED]
    await assert_nothing_refunded(acts, paid)


async def test_a_refund_in_another_currency_is_not_taken_into_the_books(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    reference = await stray_refund(acts, paid.processor_reference or "", money=Money(300, Currency.EUR))
    assert await acts.tell(REFUND, reference) == [QUARANTINED]
    await assert_nothing_refunded(acts, paid)


async def test_a_refund_of_a_charge_whose_id_was_never_recorded_finds_its_transaction(acts: Acts) -> None:
    acts.gateway.lose_next_answer("create_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    # The processor's dashboard confirmed it, and gave a part back.
    await acts.gateway.confirm_charge("ch_fake_1", return_url=None, key="dashboard")
    assert await acts.tell(REFUND, await stray_refund(acts, "ch_fake_1")) == [APPLIED]
    now = await acts.now(pending.id)
    assert (now.status, now.captured, now.refunded) == (S.PARTIALLY_REFUNDED, 1000, 300)


async def test_a_row_says_which_transaction_it_is_about_however_it_ended(acts: Acts) -> None:
    pending = await left_open(acts)
    acts.gateway.falsify(pending.processor_reference or "", money=Money(999, Currency.USD))
    assert await acts.tell(CHARGE, pending.processor_reference) == [QUARANTINED]
    acts.gateway.forget_keys()
    call = acts.gateway.calls_of("create_charge")[0]
    await acts.gateway.create_charge(**call.arguments)  # type: ignore[arg-type]  # the arguments of the same call
    await acts.gateway.confirm_charge("ch_fake_2", return_url=None, key="somebody's")
    assert await acts.tell(CHARGE, "ch_fake_2") == [QUARANTINED]
    paid = await acts.paid(await acts.add_actor(), "key-2")
    assert await acts.tell(CHARGE, paid.processor_reference) == [APPLIED]
    assert await acts.tell(OTHER, "cus_1") == [IGNORED]
    about = await rows(acts.engine, "SELECT transaction_id FROM webhook_events ORDER BY id")
    assert about == [(pending.id,), (pending.id,), (paid.id,), (None,)]


# In heaps.


async def test_events_about_one_object_that_wait_together_cost_one_look(acts: Acts) -> None:
    pending = await left_open(acts)
    other = await left_open(acts, "key-2")
    await store_many(acts, [pending.processor_reference] * 20 + [other.processor_reference] * 3)
    assert looks(acts) == 0
    claimed = await acts.webhooks.claim(1)
    assert [len(events) for events in claimed] == [20]
    assert (await acts.webhooks.apply(claimed[0])).state is APPLIED
    assert looks(acts) == 1
    assert await rows(acts.engine, "SELECT state, count(*) FROM webhook_events GROUP BY state ORDER BY state") == [
        ("APPLIED", 20),
        ("RECEIVED", 3),
    ]
    assert await acts.apply_events() == [APPLIED] * 3
    assert looks(acts) == 2


async def test_an_event_that_comes_after_the_look_gets_a_look_of_its_own(acts: Acts) -> None:
    pending = await left_open(acts)
    await store_many(acts, [pending.processor_reference])
    (claimed,) = await acts.webhooks.claim(10)
    await store_many(acts, [pending.processor_reference], prefix="later")
    (later,) = await acts.webhooks.claim(10)
    assert [event.id for event in later] == ["later_0"]
    assert (await acts.webhooks.apply(claimed)).state is APPLIED
    assert await rows(acts.engine, "SELECT state FROM webhook_events WHERE id = 'later_0'") == [("RECEIVED",)]


async def store_many(acts: Acts, references: Sequence[str | None], *, prefix: str = "evt") -> None:
    async with acts.units.begin() as uow:
        for number, reference in enumerate(references):
            await uow.webhook_events.store(acts.event(f"{prefix}_{number}", CHARGE, reference), acts.clock.now())


# Too much for us.


async def fail_once(acts: Acts) -> list[EventState]:
    acts.gateway.fail_next("look_up_charge", RuntimeError("4242 quoted"))
    return await acts.apply_events()


async def test_an_event_that_trips_over_a_mistake_of_ours_is_parked_after_a_few_tries(acts: Acts) -> None:
    pending = await left_open(acts)
    await store_many(acts, [pending.processor_reference])
    for _ in range(FAILURES_MAX - 1):
        assert await fail_once(acts) == [RECEIVED]
    assert await fail_once(acts) == [PARKED]
    assert await reasons(acts) == [f"RuntimeError while it was applied, {FAILURES_MAX} times in a row."]
    assert await acts.apply_events() == []
    assert await acts.now(pending.id) == pending


async def test_the_mistake_itself_is_handed_on_to_be_logged(acts: Acts) -> None:
    pending = await left_open(acts)
    await store_many(acts, [pending.processor_reference])
    acts.gateway.fail_next("look_up_charge", error := RuntimeError("a mistake"))
    (claimed,) = await acts.webhooks.claim(1)
    assert (await acts.webhooks.apply(claimed)).error is error


async def test_an_absent_processor_is_no_mistake_of_ours(acts: Acts) -> None:
    pending = await left_open(acts)
    await store_many(acts, [pending.processor_reference])
    for _ in range(FAILURES_MAX - 1):
        assert await fail_once(acts) == [RECEIVED]
    acts.gateway.fail_next("look_up_charge", OutcomeUnknown("away"))
    assert await acts.apply_events() == [RECEIVED]
    for _ in range(FAILURES_MAX - 1):
        assert await fail_once(acts) == [RECEIVED]
    assert await acts.apply_events() == [APPLIED]
    assert (await acts.now(pending.id)).status is S.COMPLETED


async def find_unreadable(acts: Acts, method: str = "look_up_charge") -> list[EventState]:
    acts.gateway.fail_next(method, Unreadable(f"{method}: amount is no whole number"))
    return await acts.apply_events()


async def test_an_event_whose_object_cannot_be_read_waits_for_a_person_in_the_end(acts: Acts) -> None:
    pending = await left_open(acts)
    await store_many(acts, [pending.processor_reference])
    for _ in range(UNREADABLE_TRIES_MAX - 1):
        assert await find_unreadable(acts) == [RECEIVED]
    assert await find_unreadable(acts) == [QUARANTINED]
    assert await reasons(acts) == ["What it is about cannot be read. look_up_charge: amount is no whole number."]
    assert await rows(acts.engine, "SELECT transaction_id FROM webhook_events") == [(pending.id,)]
    assert await acts.apply_events() == []
    assert await acts.now(pending.id) == pending


async def test_what_could_not_be_read_is_applied_when_it_can_be_or_put_aside_again(acts: Acts) -> None:
    pending, admin = await left_open(acts), await acts.add_actor(Role.ADMIN)
    await store_many(acts, [pending.processor_reference])
    for _ in range(UNREADABLE_TRIES_MAX):
        await find_unreadable(acts)
    ((public_id,),) = await rows(acts.engine, "SELECT public_id FROM webhook_events")
    reapply = ReapplyWebhook(units=acts.units, webhooks=acts.webhooks, clock=acts.clock, ids=acts.ids)

    async def again(key: str) -> Applied | None:
        event_id = WebhookEventId(UUID(str(public_id)))
        return await reapply(admin, NewReapplication(idempotency_key=key, event_id=event_id, reason="Repaired."))

    acts.gateway.fail_next("look_up_charge", Unreadable("still odd"))
    assert await again("again-1") == Applied(QUARANTINED, "What it is about cannot be read. still odd.")
    assert await again("again-2") == Applied(APPLIED)
    assert (await acts.now(pending.id)).status is S.COMPLETED


@pytest.mark.parametrize("method", ["look_up_charge", "account"])
async def test_however_long_nobody_answers_an_event_waits(acts: Acts, method: str) -> None:
    pending = await left_open(acts)
    event = replace(acts.event("evt_1", CHARGE, pending.processor_reference), account=ACCOUNT)
    # Who we are cannot be read: that says nothing of the event.
    error = Unreadable("account: id is no text") if method == "account" else OutcomeUnknown("away")
    acts.gateway.fail_next(method, error)
    assert await acts.tell_of(event) == [RECEIVED]
    for _ in range(UNREADABLE_TRIES_MAX):
        acts.gateway.fail_next(method, error)
        assert await acts.apply_events() == [RECEIVED]
    assert await acts.apply_events() == [APPLIED]


async def test_an_event_whose_look_takes_long_stays_claimed(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT", timedelta(milliseconds=1))
    pending = await left_open(acts)
    gate = acts.gateway.hold_next("look_up_charge")
    slow = asyncio.create_task(acts.tell(CHARGE, pending.processor_reference))
    await gate.reached.wait()
    await make_due(acts.engine)

    async def renewed() -> bool:
        return await rows(acts.engine, "SELECT next_try_at > clock_timestamp() FROM webhook_events") == [(True,)]

    await until(renewed)
    assert await acts.webhooks.claim(10) == []
    gate.released.set()
    assert await slow == [APPLIED]


async def test_an_event_whose_workers_die_is_parked(acts: Acts) -> None:
    pending = await left_open(acts)
    await store_many(acts, [pending.processor_reference])
    for _ in range(FAILURES_MAX):
        await make_due(acts.engine)
        assert len(await acts.webhooks.claim(1)) == 1
        # The process is killed here: it never says how it ended.
    assert await acts.apply_events() == [PARKED]
    assert "the worker died" in (await reasons(acts))[0]
    assert looks(acts) == 0
    assert await acts.now(pending.id) == pending


@pytest.mark.parametrize("late", ["settle", "defer"])
async def test_who_comes_late_does_not_undo_what_another_has_concluded(acts: Acts, late: str) -> None:
    pending = await left_open(acts)
    await store_many(acts, [pending.processor_reference])
    (slow,) = await acts.webhooks.claim(1)
    await make_due(acts.engine)
    (taken_over,) = await acts.webhooks.claim(1)
    assert (await acts.webhooks.apply(taken_over)).state is APPLIED
    acts.gateway.fail_next("look_up_charge", RuntimeError("late") if late == "settle" else OutcomeUnknown("late"))
    slow = [replace(event, failures=FAILURES_MAX) for event in slow]
    await acts.webhooks.apply(slow)
    assert await rows(acts.engine, "SELECT state, reason FROM webhook_events") == [("APPLIED", None)]
