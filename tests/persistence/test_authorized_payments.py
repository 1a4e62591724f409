"""capture and void, over the fake processor and real storage."""

import asyncio
from datetime import timedelta

import pytest

from domain.access import Role
from domain.currencies import Currency
from domain.errors import (
    Forbidden,
    IdempotencyKeyReused,
    InvalidAmount,
    InvalidCurrency,
    NotCapturable,
    NotFound,
    NotVoidable,
    Unavailable,
)
from domain.ids import TransactionId
from domain.messaging.webhook_events import EventSubject
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.authorized import NewCapture
from domain.payments.gateway import ChargeStatus, OutcomeUnknown, RejectionKind, RequestRejected
from domain.payments.transaction import Failure, TransactionStatus
from tests.support.acts import Acts, codes, transaction_in
from tests.support.database import rows
from tests.support.units import Break

S = TransactionStatus


async def test_all_that_is_held_is_captured_when_no_amount_is_named(acts: Acts) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    answer = await acts.capture(staff, held.id)
    taken = transaction_in(answer)
    assert (taken.status, taken.captured, taken.refundable, answer.refusals) == (S.COMPLETED, 1000, 1000, ())
    assert (await acts.audit(held.id))[2:] == ["capture.requested", "transaction.completed"]
    assert await acts.attempts(held.id) == {"CHARGE": "DONE", "CAPTURE": "DONE"}


async def test_what_is_not_captured_is_let_go(acts: Acts) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.ADMIN)
    taken = transaction_in(await acts.capture(staff, held.id, 600))
    assert (taken.status, taken.captured, taken.refundable) == (S.COMPLETED, 600, 600)
    with pytest.raises(NotCapturable):
        await acts.capture(staff, held.id, 400, key="c2")
    answer = await acts.refund(staff, held.id)
    assert answer.refund is not None
    assert answer.refund.money == Money(600, Currency.USD)
    assert transaction_in(answer).status is S.REFUNDED


@pytest.mark.parametrize("minor_units", [1001, 0, -1, 10**40])
async def test_an_amount_that_cannot_be_captured_changes_nothing(acts: Acts, minor_units: int) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    with pytest.raises(InvalidAmount):
        await acts.capture(staff, held.id, minor_units)
    wanted = NewCapture(idempotency_key="k", transaction_id=held.id, money=Money(1000, Currency.EUR))
    with pytest.raises(InvalidCurrency):
        await acts.authorized.capture(staff, wanted)
    assert await acts.now(held.id) == held
    assert acts.gateway.calls_of("capture_charge") == []
    assert len(await acts.audit(held.id)) == 2
    assert (await acts.capture(staff, held.id)).refusals == ()


async def test_what_is_held_can_be_let_go(acts: Acts) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    answer = await acts.void(staff, held.id)
    assert (transaction_in(answer).status, answer.refusals) == (S.CANCELED, ())
    assert (await acts.audit(held.id))[2:] == ["void.requested", "transaction.canceled"]
    assert {charge.status for charge in acts.gateway.charges.values()} == {ChargeStatus.CANCELED}
    with pytest.raises(NotCapturable):
        await acts.capture(staff, held.id)
    with pytest.raises(NotVoidable):
        await acts.void(staff, held.id, key="v2")
    assert (await acts.void(staff, held.id)).replayed


async def test_a_payment_that_waits_for_the_payer_can_be_voided(acts: Acts) -> None:
    waiting = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired"))
    staff = await acts.add_actor(Role.SUPPORT)
    answer = await acts.void(staff, waiting.id)
    assert (transaction_in(answer).status, transaction_in(answer).next_action) == (S.CANCELED, None)
    assert await acts.attempts(waiting.id) == {"CHARGE": "DONE", "VOID": "DONE"}
    assert await acts.recover() == 0


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_visa_chargeDeclined"])
async def test_what_is_decided_can_neither_be_captured_nor_voided(acts: Acts, method: str) -> None:
    done = transaction_in(await acts.pay(await acts.add_actor(), method=method))
    staff = await acts.add_actor(Role.SUPPORT)
    with pytest.raises(NotCapturable):
        await acts.capture(staff, done.id)
    with pytest.raises(NotVoidable):
        await acts.void(staff, done.id)
    assert await acts.now(done.id) == done


async def test_a_payment_whose_charge_is_not_known_cannot_be_voided(acts: Acts) -> None:
    acts.gateway.lose_next_answer("create_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    with pytest.raises(NotVoidable):
        await acts.void(await acts.add_actor(Role.SUPPORT), pending.id)


async def test_a_payment_that_is_under_way_is_voided_or_completed_but_not_both(acts: Acts) -> None:
    payer, staff = await acts.add_actor(), await acts.add_actor(Role.SUPPORT)
    gate = acts.gateway.hold_next("confirm_charge")
    request = asyncio.create_task(acts.pay(payer))
    await gate.reached.wait()
    ((transaction_id,),) = await rows(acts.engine, "SELECT id FROM transactions")
    assert (await acts.void(staff, TransactionId(transaction_id))).refusals == ()  # type: ignore[arg-type]  # a UUID column
    gate.released.set()
    answer = await request
    assert transaction_in(answer).status is S.CANCELED
    assert [charge.captured for charge in acts.gateway.charges.values()] == [0]


async def test_only_staff_may_capture_and_void(acts: Acts) -> None:
    payer = await acts.add_actor()
    held = await acts.hold(payer)
    with pytest.raises(Forbidden):
        await acts.capture(payer, held.id)
    with pytest.raises(Forbidden):
        await acts.void(payer, held.id)
    assert await acts.now(held.id) == held
    staff = await acts.add_actor(Role.SUPPORT)
    with pytest.raises(NotFound):
        await acts.capture(staff, TransactionId(acts.ids.new()))
    with pytest.raises(NotFound):
        await acts.authorized.capture(staff, NewCapture(idempotency_key="k", transaction_id=None, money=None))


async def test_a_key_is_good_for_one_capture(acts: Acts) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    first = await acts.capture(staff, held.id, 600)
    again = await acts.capture(staff, held.id, 600)
    assert (again.transaction, again.replayed) == (first.transaction, True)
    with pytest.raises(IdempotencyKeyReused):
        await acts.capture(staff, held.id, 601)
    assert len(acts.gateway.calls_of("capture_charge")) == 1


async def test_of_captures_and_voids_at_once_one_is_done(acts: Acts) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    outcomes = await asyncio.gather(
        *(acts.capture(staff, held.id, key=f"c{number}") for number in range(5)),
        *(acts.void(staff, held.id, key=f"v{number}") for number in range(5)),
        return_exceptions=True,
    )
    done = [outcome for outcome in outcomes if isinstance(outcome, Answer) and not outcome.refusals]
    assert len(done) == 1
    assert (await acts.now(held.id)).status is transaction_in(done[0]).status


@pytest.mark.parametrize("lost", [True, False], ids=["answer lost", "never arrived"])
@pytest.mark.parametrize("call", ["capture_charge", "cancel_charge"])
@pytest.mark.parametrize("outage", [timedelta(0), timedelta(hours=25)], ids=["keys kept", "keys gone"])
async def test_an_unknown_outcome_is_found_out(acts: Acts, call: str, lost: bool, outage: timedelta) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    if lost:
        acts.gateway.lose_next_answer(call)
    else:
        acts.gateway.fail_next(call, OutcomeUnknown("no answer came"))
    act, kind, end = (
        (acts.capture, "CAPTURE", S.COMPLETED) if call == "capture_charge" else (acts.void, "VOID", S.CANCELED)
    )
    answer = await act(staff, held.id)
    assert (codes(answer), transaction_in(answer).status) == (["PROCESSOR_UNAVAILABLE"], S.AUTHORIZED)
    with pytest.raises(NotCapturable, match="on its way"):
        await acts.capture(staff, held.id, key="c2")
    acts.age(outage)
    assert await acts.recover() == 1
    assert (await acts.now(held.id)).status is end
    assert (await acts.attempts(held.id))[kind] == "DONE"
    assert codes(await act(staff, held.id)) == []


async def test_a_capture_that_the_processor_refuses_leaves_the_payment_as_it_is(acts: Acts) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    failure = Failure("charge_expired_for_capture", "Too late.")
    acts.gateway.fail_next("capture_charge", RequestRejected(RejectionKind.WRONG_STATE, failure))
    answer = await acts.capture(staff, held.id)
    assert (codes(answer), transaction_in(answer).status) == (["NOT_CAPTURABLE"], S.AUTHORIZED)
    assert await acts.attempts(held.id) == {"CHARGE": "DONE", "CAPTURE": "DONE"}
    assert (await acts.void(staff, held.id)).refusals == ()


async def test_a_hold_that_the_processor_ends_is_canceled(acts: Acts) -> None:
    held = await acts.hold(await acts.add_actor())
    await acts.gateway.cancel_charge(held.processor_reference or "", key="the processor's own")
    await acts.tell(EventSubject.CHARGE, held.processor_reference)
    assert (await acts.now(held.id)).status is S.CANCELED


@pytest.mark.parametrize("how", Break)
@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("kind", ["capture", "void"])
async def test_a_crash_at_any_commit_does_it_once(acts: Acts, kind: str, how: Break, after: int) -> None:
    held, staff = await acts.hold(await acts.add_actor()), await acts.add_actor(Role.SUPPORT)
    act, end = (acts.capture, S.COMPLETED) if kind == "capture" else (acts.void, S.CANCELED)
    acts.units.break_off(how, after=after)
    with pytest.raises(Unavailable):
        await act(staff, held.id)
    await acts.recover()
    answer = await act(staff, held.id)
    assert (answer.refusals, transaction_in(answer).status) == ((), end)
    assert await rows(acts.engine, "SELECT count(*) FROM attempts WHERE state <> 'DONE'") == [(0,)]
