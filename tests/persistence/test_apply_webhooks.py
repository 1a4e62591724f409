"""Webhook events, applied over the fake processor and real storage: doubled, out of order, about nothing, or untrue."""

import asyncio
from dataclasses import replace
from itertools import permutations

import pytest

from domain.access import EVERYTHING, Role
from domain.audit import Origin
from domain.currencies import Currency
from domain.messaging.webhook_events import EventState, EventSubject
from domain.money import Money
from domain.payments.gateway import ChargeStatus, OutcomeUnknown, RefundOrder, RefundReportStatus
from domain.payments.refund import RefundStatus
from domain.payments.transaction import Transaction, TransactionStatus
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.acts import Acts, transaction_in
from tests.support.database import rows
from tests.support.waiting import until

S = TransactionStatus
CHARGE, REFUND, OTHER = EventSubject.CHARGE, EventSubject.REFUND, EventSubject.OTHER
APPLIED, IGNORED, QUARANTINED, RECEIVED = (
    EventState.APPLIED,
    EventState.IGNORED,
    EventState.QUARANTINED,
    EventState.RECEIVED,
)


async def left_open(acts: Acts) -> Transaction:
    """A payment whose confirmation was carried out, but not answered."""
    acts.gateway.lose_next_answer("confirm_charge")
    return transaction_in(await acts.pay(await acts.add_actor()))


async def refund_in_dashboard(acts: Acts, paid: Transaction, minor_units: int) -> str:
    """Refund at the processor itself; the reference of the refund."""
    order = RefundOrder(
        refund_id=None,  # type: ignore[arg-type]  # a refund that is not ours names no id of ours
        transaction_id=paid.id,
        charge_reference=paid.processor_reference or "",
        money=paid.in_own_currency(minor_units),
        reason=None,
    )
    return (await acts.gateway.refund_charge(order, key=f"dashboard-{len(acts.gateway.refunds)}")).reference


async def test_an_event_decides_what_was_left_open(acts: Acts) -> None:
    pending = await left_open(acts)
    assert await acts.tell(CHARGE, pending.processor_reference) == [APPLIED]
    assert (await acts.now(pending.id)).status is S.COMPLETED
    assert await acts.attempts(pending.id) == {"CHARGE": "DONE"}
    assert await acts.recover() == 0
    via = await rows(acts.engine, "SELECT details->>'via' FROM audit_entries WHERE action = 'transaction.completed'")
    assert via == [("webhook",)]


async def test_an_event_that_comes_twice_is_applied_once(acts: Acts) -> None:
    pending = await left_open(acts)
    assert await acts.tell(CHARGE, pending.processor_reference, times=3) == [APPLIED]
    assert await acts.tell(CHARGE, pending.processor_reference) == [APPLIED]
    assert await acts.audit(pending.id) == ["transaction.created", "transaction.completed"]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
async def test_events_may_come_in_any_order(acts: Acts, order: tuple[int, ...]) -> None:
    pending = await left_open(acts)
    first = await refund_in_dashboard(acts, pending, 300)
    second = await refund_in_dashboard(acts, pending, 200)
    events = [(CHARGE, pending.processor_reference), (REFUND, first), (REFUND, second)]
    for number in order:
        assert await acts.tell(*events[number]) == [APPLIED]
    now = await acts.now(pending.id)
    assert (now.status, now.captured, now.refund_reserved, now.refunded) == (S.PARTIALLY_REFUNDED, 1000, 500, 500)


@pytest.mark.parametrize(("subject", "reference"), [(OTHER, None), (OTHER, "cus_1"), (CHARGE, None), (REFUND, None)])
async def test_an_event_about_nothing_of_ours_is_kept_and_ignored(
    acts: Acts, subject: EventSubject, reference: str | None
) -> None:
    assert await acts.tell(subject, reference) == [IGNORED]
    assert acts.gateway.calls == []


async def test_a_charge_of_somebody_else_is_ignored(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    foreign = acts.gateway.add_foreign_charge(paid.processor_reference or "")
    assert await acts.tell(CHARGE, foreign) == [IGNORED]
    assert await acts.now(paid.id) == paid


async def test_an_event_whose_object_does_not_exist_is_for_a_person(acts: Acts) -> None:
    assert await acts.tell(CHARGE, "ch_unknown") == [QUARANTINED]
    assert await acts.tell(REFUND, "re_unknown") == [QUARANTINED]
    reasons = await rows(acts.engine, "SELECT reason IS NOT NULL, settled_at IS NOT NULL FROM webhook_events")
    assert reasons == [(True, True)] * 2


@pytest.mark.parametrize(
    "lie",
    [
        {"money": Money(999, Currency.USD)},
        {"money": Money(1000, Currency.EUR)},
        {"live": True},
    ],
    ids=["amount", "currency", "mode"],
)
async def test_a_charge_that_contradicts_ours_is_not_applied(acts: Acts, lie: dict[str, object]) -> None:
    pending = await left_open(acts)
    acts.gateway.falsify(pending.processor_reference or "", **lie)
    assert await acts.tell(CHARGE, pending.processor_reference) == [QUARANTINED]
    assert await acts.now(pending.id) == pending
    # The worker does not believe it either, and leaves it to a person.
    await acts.recover()
    assert await acts.now(pending.id) == pending
    assert await acts.attempts(pending.id) == {"CHARGE": "MANUAL"}


async def test_money_for_a_failed_payment_is_for_a_person(acts: Acts) -> None:
    failed = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_visa_chargeDeclined"))
    acts.gateway.succeed_after_all(failed.processor_reference or "")
    assert await acts.tell(CHARGE, failed.processor_reference) == [QUARANTINED]
    assert await acts.now(failed.id) == failed


async def test_an_event_waits_while_the_processor_is_away(acts: Acts) -> None:
    pending = await left_open(acts)
    acts.gateway.fail_next("look_up_charge", OutcomeUnknown("away"))
    assert await acts.tell(CHARGE, pending.processor_reference) == [RECEIVED]
    assert await rows(acts.engine, "SELECT tries FROM webhook_events WHERE next_try_at > clock_timestamp()") == [(1,)]
    assert (await acts.now(pending.id)).status is S.PENDING
    assert await acts.apply_events() == [APPLIED]
    assert (await acts.now(pending.id)).status is S.COMPLETED


async def test_an_event_that_overtakes_the_answer_to_create_tells_the_charges_id(acts: Acts) -> None:
    acts.gateway.lose_next_answer("create_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    assert pending.processor_reference is None
    assert await acts.tell(CHARGE, "ch_fake_1") == [APPLIED]
    assert (await acts.now(pending.id)).processor_reference == "ch_fake_1"
    # The keys are gone by now; the known charge is confirmed instead of a second one.
    acts.gateway.forget_keys()
    await acts.recover()
    assert (await acts.now(pending.id)).status is S.COMPLETED
    assert len(acts.gateway.charges) == 1


async def test_an_event_that_waited_for_the_answer_to_be_recorded_is_no_contradiction(
    acts: Acts, units: SqlUnitsOfWork
) -> None:
    acts.gateway.lose_next_answer("create_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    report = acts.gateway.charges["ch_fake_1"]

    async def apply() -> Transaction:
        async with units.begin() as uow:
            return await acts.outcomes.apply_charge(uow, report, Origin.WEBHOOK)

    async with units.begin() as uow:
        locked = await uow.transactions.lock(pending.id, EVERYTHING)
        assert locked is not None
        waiting = asyncio.create_task(apply())
        blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await until(lambda: rows(acts.engine, blocked))
        await uow.transactions.save(replace(locked, processor_reference="ch_fake_1"))
    assert (await waiting).processor_reference == "ch_fake_1"


async def test_a_second_charge_for_one_payment_is_for_a_person(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    acts.gateway.forget_keys()
    call = acts.gateway.calls_of("create_charge")[0]
    await acts.gateway.create_charge(**call.arguments)  # type: ignore[arg-type]  # the arguments of the same call
    # Unconfirmed it moves no money, and a sweep cancels it.
    assert await acts.tell(CHARGE, "ch_fake_2") == [IGNORED]
    await acts.gateway.confirm_charge("ch_fake_2", return_url=None, key="somebody's")
    assert await acts.tell(CHARGE, "ch_fake_2") == [QUARANTINED]
    assert await acts.now(paid.id) == paid


async def test_what_a_payer_failed_is_canceled_before_it_is_called_failed(acts: Acts) -> None:
    waiting = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired"))
    reference = waiting.processor_reference or ""
    acts.gateway.authenticate(reference, success=False)
    assert await acts.tell(CHARGE, reference) == [APPLIED]
    assert (await acts.now(waiting.id)).status is S.FAILED
    assert acts.gateway.charges[reference].status is ChargeStatus.CANCELED


async def test_what_was_fetched_before_our_own_change_is_fetched_again(acts: Acts) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    gate = acts.gateway.hold_next_answer("look_up_charge")
    event = asyncio.create_task(acts.tell(CHARGE, held.processor_reference))
    await gate.reached.wait()
    assert (await acts.void(staff, held.id)).refusals == ()
    gate.released.set()
    assert await event == [APPLIED]
    assert (await acts.now(held.id)).status is S.CANCELED


@pytest.mark.parametrize("held_back", ["PROCESSING", "REQUIRES_ACTION", "UNCONFIRMED"])
async def test_an_old_report_does_not_undo_what_a_newer_one_told(acts: Acts, held_back: str) -> None:
    paid = await acts.paid(await acts.add_actor())
    report = acts.gateway.charges[paid.processor_reference or ""]
    old = replace(report, status=ChargeStatus(held_back), processor_status="old", captured=0, fee=None)
    async with acts.units.begin() as uow:
        assert await acts.outcomes.apply_charge(uow, old, Origin.WEBHOOK) == paid
    assert await acts.now(paid.id) == paid


async def test_a_refund_made_at_the_processor_is_taken_into_the_books(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    reference = await refund_in_dashboard(acts, paid, 300)
    assert await acts.tell(REFUND, reference, times=2) == [APPLIED]
    assert await acts.tell(REFUND, reference) == [APPLIED]
    now = await acts.now(paid.id)
    assert (now.status, now.refund_reserved, now.refunded) == (S.PARTIALLY_REFUNDED, 300, 300)
    async with acts.units.begin() as uow:
        adopted = await uow.refunds.get_by_reference(reference)
    assert adopted is not None
    assert (adopted.status, adopted.requested_by, adopted.money.minor_units) == (RefundStatus.COMPLETED, None, 300)
    assert (await acts.audit(paid.id))[2:] == ["refund.requested", "refund.completed", "transaction.partially_refunded"]
    acts.gateway.settle_refund(reference, RefundReportStatus.FAILED)
    assert await acts.tell(REFUND, reference) == [APPLIED]
    assert (await acts.now(paid.id)).refund_reserved == 0


async def test_a_refund_made_at_the_processor_that_has_failed_books_nothing(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    reference = await refund_in_dashboard(acts, paid, 300)
    acts.gateway.settle_refund(reference, RefundReportStatus.FAILED)
    assert await acts.tell(REFUND, reference) == [APPLIED]
    now = await acts.now(paid.id)
    assert (now.status, now.refund_reserved, now.refunded) == (S.COMPLETED, 0, 0)


async def test_a_refund_made_at_the_processor_waits_for_an_undecided_one_of_ours(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("refund_charge", OutcomeUnknown("away"))
    await acts.refund(payer, paid.id, 800)
    reference = await refund_in_dashboard(acts, paid, 1000)
    assert await acts.tell(REFUND, reference) == [RECEIVED]
    # Ours is rejected now, because nothing is left to refund, and makes room.
    await acts.recover()
    assert await acts.apply_events() == [APPLIED]
    now = await acts.now(paid.id)
    assert (now.status, now.refund_reserved, now.refunded) == (S.REFUNDED, 1000, 1000)


async def test_a_refund_of_somebody_elses_charge_is_ignored(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    foreign = acts.gateway.add_foreign_charge(paid.processor_reference or "")
    reference = await refund_in_dashboard(acts, replace(paid, processor_reference=foreign), 300)
    assert await acts.tell(REFUND, reference) == [IGNORED]


async def test_an_event_about_a_refund_of_ours_finds_it_by_the_id_we_sent(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.lose_next_answer("refund_charge")
    await acts.refund(payer, paid.id, 400)
    assert await acts.tell(REFUND, "re_fake_1") == [APPLIED]
    now = await acts.now(paid.id)
    assert (now.status, now.refund_reserved, now.refunded) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert await acts.recover() == 0
