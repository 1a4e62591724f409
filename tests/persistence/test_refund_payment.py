"""refund, over the fake processor and real storage: what goes back, what cannot, and what a lost answer does."""

import asyncio
from datetime import timedelta

import pytest

from domain.access import Role
from domain.currencies import Currency
from domain.errors import (
    AlreadyRefunded,
    Forbidden,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidAmount,
    InvalidCurrency,
    NotFound,
    NotRefundable,
    RefundExceedsRemaining,
    Refusal,
    Unavailable,
)
from domain.ids import TransactionId
from domain.messaging.webhook_events import EventSubject
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.attempt import RESEND_WINDOW
from domain.payments.gateway import OutcomeUnknown, RefundReportStatus, RejectionKind, RequestRejected
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import Failure, TransactionStatus
from tests.support.acts import Acts, codes, transaction_in
from tests.support.database import age_attempts, rows
from tests.support.units import Break

S = TransactionStatus
UNKNOWN = OutcomeUnknown("no answer came")
EXPIRED = Failure("expired_or_canceled_card", "The card expired.")


def rejected(kind: RejectionKind = RejectionKind.OTHER) -> RequestRejected:
    return RequestRejected(kind, Failure("refused", "The processor refuses."))


def refund_in(answer: Answer) -> Refund:
    assert answer.refund is not None
    return answer.refund


async def sums(acts: Acts, transaction_id: TransactionId) -> tuple[TransactionStatus, int, int]:
    """Where the transaction stands: its status, what is reserved and what has gone back."""
    now = await acts.now(transaction_id)
    return now.status, now.refund_reserved, now.refunded


def given_back(acts: Acts) -> int:
    """What the processor has really given back."""
    reports = acts.gateway.refunds.values()
    return sum(report.money.minor_units for report in reports if report.status is not RefundReportStatus.FAILED)


async def left_behind(acts: Acts) -> list[list[tuple[object, ...]]]:
    """Everything that a refused refund must leave as it was."""
    tables = ("transactions", "refunds", "attempts", "audit_entries", "idempotency_keys")
    return [await rows(acts.engine, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]  # noqa: S608  constants


async def test_all_that_is_left_is_refunded_when_no_amount_is_named(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    answer = await acts.refund(payer, paid.id)
    given = refund_in(answer)
    assert (given.status, given.money, given.requested_by) == (RefundStatus.COMPLETED, paid.money, payer.user_id)
    assert (answer.refusals, answer.replayed) == ((), False)
    assert await sums(acts, paid.id) == (S.REFUNDED, 1000, 1000)
    assert await acts.audit(paid.id) == [
        "transaction.created", "transaction.completed", "refund.requested", "refund.completed", "transaction.refunded",
    ]  # fmt: skip
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE", "REFUND": "DONE"}
    assert given_back(acts) == 1000


async def test_several_refunds_add_up_to_what_was_captured_and_no_further(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    for number, share in enumerate((300, 1, 699)):
        answer = await acts.refund(payer, paid.id, share, key=f"r{number}")
        assert answer.refusals == ()
        assert transaction_in(answer).status is (S.REFUNDED if number == 2 else S.PARTIALLY_REFUNDED)
    with pytest.raises(AlreadyRefunded):
        await acts.refund(payer, paid.id, 1, key="r4")
    assert await sums(acts, paid.id) == (S.REFUNDED, 1000, 1000)
    assert given_back(acts) == 1000


async def test_the_rest_is_what_is_left_after_the_others(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    await acts.refund(payer, paid.id, 300, key="r1")
    assert refund_in(await acts.refund(payer, paid.id, key="r2")).money.minor_units == 700


async def test_every_refund_has_its_own_entries_in_the_audit_log(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    given = refund_in(await acts.refund(payer, paid.id, 300))
    found = await rows(acts.engine, "SELECT action, details->>'refundId' FROM audit_entries WHERE details ? 'refundId'")
    assert found == [("refund.requested", f"re_{given.id.hex}"), ("refund.completed", f"re_{given.id.hex}")]


async def test_a_refund_of_more_than_is_left_says_how_much_is_left(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    await acts.refund(payer, paid.id, 400, key="r1")
    before = await left_behind(acts)
    with pytest.raises(RefundExceedsRemaining) as caught:
        await acts.refund(payer, paid.id, 601, key="r2")
    assert caught.value.max_refundable == Money(600, Currency.USD)
    assert await left_behind(acts) == before
    # The key is not used up by a refusal.
    assert (await acts.refund(payer, paid.id, 600, key="r2")).refusals == ()


async def test_of_twenty_thirds_at_once_three_are_given(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    outcomes = await asyncio.gather(
        *(acts.refund(payer, paid.id, 333, key=f"r{number}") for number in range(20)), return_exceptions=True
    )
    given = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(given) == 3
    assert all(isinstance(error, RefundExceedsRemaining) for error in refused)
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 999, 999)
    assert given_back(acts) == 999


async def test_of_many_at_once_with_one_key_one_is_given(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    outcomes = await asyncio.gather(*(acts.refund(payer, paid.id, 100) for _ in range(30)), return_exceptions=True)
    given = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert all(isinstance(error, IdempotencyInProgress) for error in outcomes if not isinstance(error, Answer))
    assert len({refund_in(answer).id for answer in given}) == 1
    assert given_back(acts) == 100


async def test_a_repetition_gets_the_first_refund(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    first = await acts.refund(payer, paid.id, 100)
    before = await left_behind(acts)
    again = await acts.refund(payer, paid.id, 100)
    assert (again.refund, again.replayed) == (first.refund, True)
    for other in (101, None):
        with pytest.raises(IdempotencyKeyReused):
            await acts.refund(payer, paid.id, other)
    assert await left_behind(acts) == before
    assert given_back(acts) == 100


@pytest.mark.parametrize(
    ("minor_units", "currency", "refusal"),
    [
        (0, Currency.USD, InvalidAmount),
        (-1, Currency.USD, InvalidAmount),
        (10**40, Currency.USD, InvalidAmount),
        (1001, Currency.USD, RefundExceedsRemaining),
        (100, Currency.EUR, InvalidCurrency),
    ],
)
async def test_an_amount_that_cannot_be_refunded_changes_nothing(
    acts: Acts, minor_units: int, currency: Currency, refusal: type[Refusal]
) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    before = await left_behind(acts)
    with pytest.raises(refusal):
        await acts.refund(payer, paid.id, minor_units, currency=currency)
    assert await left_behind(acts) == before
    assert acts.gateway.refunds == {}


async def test_what_is_anothers_does_not_exist(acts: Acts) -> None:
    ada, bob = await acts.add_actor(), await acts.add_actor()
    paid = await acts.paid(ada)
    before = await left_behind(acts)
    for missing in (paid.id, TransactionId(acts.ids.new()), None):
        with pytest.raises(NotFound):
            await acts.refund(bob, missing)
    assert await left_behind(acts) == before
    assert acts.gateway.refunds == {}


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.ADMIN])
async def test_staff_refund_what_is_anothers(acts: Acts, role: Role) -> None:
    paid = await acts.paid(await acts.add_actor())
    staff = await acts.add_actor(role)
    assert refund_in(await acts.refund(staff, paid.id)).requested_by == staff.user_id


async def test_a_setting_takes_refunds_from_customers(acts: Acts) -> None:
    strict = Acts(engine=acts.engine, customers_may_refund=False)
    payer, staff = await strict.add_actor(), await strict.add_actor(Role.SUPPORT)
    paid = await strict.paid(payer)
    before = await left_behind(strict)
    with pytest.raises(Forbidden):
        await strict.refund(payer, paid.id)
    assert await left_behind(strict) == before
    assert (await strict.refund(staff, paid.id)).refusals == ()


@pytest.mark.parametrize(
    "method", ["pm_card_visa_chargeDeclined", "pm_card_authenticationRequired", "pm_fake_processing"]
)
async def test_what_was_not_captured_cannot_be_refunded(acts: Acts, method: str) -> None:
    payer = await acts.add_actor()
    unpaid = transaction_in(await acts.pay(payer, method=method))
    before = await left_behind(acts)
    with pytest.raises(NotRefundable):
        await acts.refund(payer, unpaid.id)
    assert await left_behind(acts) == before


async def test_held_money_cannot_be_refunded(acts: Acts) -> None:
    payer = await acts.add_actor()
    held = await acts.hold(payer)
    with pytest.raises(NotRefundable):
        await acts.refund(payer, held.id)
    assert acts.gateway.refunds == {}


async def test_disputed_money_is_not_refunded(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    await rows(acts.engine, "UPDATE transactions SET disputed = 500 RETURNING 1")
    before = await left_behind(acts)
    with pytest.raises(NotRefundable):
        await acts.refund(payer, paid.id, 100)
    assert await left_behind(acts) == before


@pytest.mark.parametrize("lost", [True, False], ids=["answer lost", "never arrived"])
async def test_an_unknown_refund_is_found_out_and_given_once(acts: Acts, lost: bool) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    if lost:
        acts.gateway.lose_next_answer("refund_charge")
    else:
        acts.gateway.fail_next("refund_charge", UNKNOWN)
    answer = await acts.refund(payer, paid.id, 400)
    assert (codes(answer), refund_in(answer).status) == (["PROCESSOR_UNAVAILABLE"], RefundStatus.PENDING)
    # What may have gone back is kept for it.
    assert await sums(acts, paid.id) == (S.COMPLETED, 400, 0)
    with pytest.raises(RefundExceedsRemaining):
        await acts.refund(payer, paid.id, 601, key="r2")
    if lost:
        # Even where the key is forgotten: it is found by the id that we sent along, and not sent again.
        acts.gateway.forget_keys()
    assert await acts.recover() == 1
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert given_back(acts) == 400
    assert len(acts.gateway.calls_of("refund_charge")) == (1 if lost else 2)
    assert codes(await acts.refund(payer, paid.id, 400)) == []


async def test_a_refund_is_not_sent_again_once_its_key_may_be_gone(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("refund_charge", UNKNOWN)
    await acts.refund(payer, paid.id, 400)
    acts.age(RESEND_WINDOW)
    acts.gateway.fail_next("list_refunds", UNKNOWN)
    await acts.recover()
    acts.age(timedelta(seconds=1))
    await acts.recover()
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE", "REFUND": "MANUAL"}
    assert await acts.recover() == 0
    assert len(acts.gateway.calls_of("refund_charge")) == 1
    # The money stays reserved until a person has decided.
    assert await sums(acts, paid.id) == (S.COMPLETED, 400, 0)
    assert codes(await acts.refund(payer, paid.id, 400)) == ["PROCESSOR_UNAVAILABLE"]


async def test_no_processes_own_clock_decides_whether_a_refund_is_sent_again(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    # The clock of whoever sends it is two days ahead, and that of whoever looks after it is right.
    acts.clock.advance(timedelta(days=2))
    acts.gateway.fail_next("refund_charge", UNKNOWN)
    await acts.refund(payer, paid.id, 400)
    acts.clock.advance(-timedelta(days=2))
    acts.age(RESEND_WINDOW + timedelta(seconds=1))
    await acts.recover()
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE", "REFUND": "MANUAL"}
    assert len(acts.gateway.calls_of("refund_charge")) == 1


async def test_whoever_was_held_up_for_a_day_does_not_send_a_refund_again(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("refund_charge", UNKNOWN)
    await acts.refund(payer, paid.id, 400)
    gate = acts.gateway.hold_next_answer("list_refunds")
    worker = asyncio.create_task(acts.recover())
    await gate.reached.wait()
    await age_attempts(acts.engine, RESEND_WINDOW)
    gate.released.set()
    await worker
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE", "REFUND": "MANUAL"}
    assert len(acts.gateway.calls_of("refund_charge")) == 1


async def test_a_refund_that_another_worker_took_over_is_not_sent_by_the_first(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("refund_charge", UNKNOWN)
    await acts.refund(payer, paid.id, 400)
    gate = acts.gateway.hold_next_answer("list_refunds")
    slow = asyncio.create_task(acts.recover())
    await gate.reached.wait()
    await acts.recover()
    gate.released.set()
    await slow
    assert len(acts.gateway.calls_of("refund_charge")) == 2
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 400, 400)


async def test_a_refund_within_the_window_is_sent_again_under_the_same_key(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("refund_charge", UNKNOWN)
    await acts.refund(payer, paid.id, 400)
    acts.age(RESEND_WINDOW - timedelta(minutes=1))
    await acts.recover()
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert len({call.arguments["key"] for call in acts.gateway.calls_of("refund_charge")}) == 1


async def test_a_late_answer_settles_what_was_left_to_a_person(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("list_refunds", UNKNOWN)
    acts.gateway.lose_next_answer("refund_charge")
    await acts.refund(payer, paid.id, 400)
    await rows(acts.engine, "UPDATE attempts SET state = 'MANUAL' WHERE kind = 'REFUND' RETURNING 1")
    await acts.tell(EventSubject.REFUND, "re_fake_1")
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE", "REFUND": "DONE"}


@pytest.mark.parametrize("call", ["list_refunds", "look_up_refund"])
@pytest.mark.parametrize("kind", RejectionKind)
async def test_a_question_that_is_rejected_does_not_fail_the_refund(acts: Acts, call: str, kind: RejectionKind) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    if call == "look_up_refund":
        acts.gateway.hold_refunds_back()
    else:
        acts.gateway.lose_next_answer("refund_charge")
    await acts.refund(payer, paid.id)
    acts.gateway.fail_next(call, rejected(kind))
    await acts.recover()
    # Had the reservation been given back, a second refund could be made now.
    assert await sums(acts, paid.id) == (S.COMPLETED, 1000, 0)
    with pytest.raises(RefundExceedsRemaining):
        await acts.refund(payer, paid.id, 1, key="r2")
    await acts.recover()
    assert given_back(acts) == 1000


@pytest.mark.parametrize("kind", RejectionKind)
async def test_a_rejected_refund_gives_its_reservation_back(acts: Acts, kind: RejectionKind) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("refund_charge", rejected(kind))
    answer = await acts.refund(payer, paid.id, 400)
    assert (codes(answer), refund_in(answer).status) == (["REFUND_FAILED"], RefundStatus.FAILED)
    assert await sums(acts, paid.id) == (S.COMPLETED, 0, 0)
    assert (await acts.audit(paid.id))[2:] == ["refund.requested", "refund.failed"]
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE", "REFUND": "DONE"}
    assert codes(await acts.refund(payer, paid.id, 400)) == ["REFUND_FAILED"]
    assert (await acts.refund(payer, paid.id, 1000, key="r2")).refusals == ()


async def test_a_refund_that_is_under_way_is_followed_to_its_end(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.hold_refunds_back()
    answer = await acts.refund(payer, paid.id, 400)
    assert (answer.refusals, refund_in(answer).status) == ((), RefundStatus.PENDING)
    assert await acts.recover() == 1
    assert await sums(acts, paid.id) == (S.COMPLETED, 400, 0)
    acts.gateway.settle_refund("re_fake_1", RefundReportStatus.SUCCEEDED)
    assert await acts.recover() == 1
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert await acts.recover() == 0


@pytest.mark.parametrize("share", [400, 1000])
async def test_a_refund_that_fails_late_gives_the_money_back(acts: Acts, share: int) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    given = refund_in(await acts.refund(payer, paid.id, share))
    acts.gateway.settle_refund(given.processor_reference or "", RefundReportStatus.FAILED, EXPIRED)
    await acts.tell(EventSubject.REFUND, given.processor_reference)
    assert await sums(acts, paid.id) == (S.COMPLETED, 0, 0)
    assert (await acts.audit(paid.id))[-2:] == ["refund.failed", "transaction.completed"]
    again = await acts.refund(payer, paid.id, share)
    assert (codes(again), refund_in(again).failure) == (["REFUND_FAILED"], EXPIRED)
    assert (await acts.refund(payer, paid.id, key="r2")).refusals == ()
    assert given_back(acts) == 1000


@pytest.mark.parametrize("how", Break)
@pytest.mark.parametrize("after", range(4))
async def test_a_crash_at_any_commit_refunds_once(acts: Acts, how: Break, after: int) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.units.break_off(how, after=after)
    with pytest.raises(Unavailable):
        await acts.refund(payer, paid.id, 400)
    await acts.recover()
    answer = await acts.refund(payer, paid.id, 400)
    assert (answer.refusals, refund_in(answer).status) == ((), RefundStatus.COMPLETED)
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert given_back(acts) == 400


async def test_worker_and_request_at_once_refund_once(acts: Acts) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    gate = acts.gateway.hold_next_answer("refund_charge")
    request = asyncio.create_task(acts.refund(payer, paid.id, 400))
    await gate.reached.wait()
    assert await acts.recover() == 1
    gate.released.set()
    assert refund_in(await request).status is RefundStatus.COMPLETED
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert given_back(acts) == 400
    assert (await acts.audit(paid.id)).count("refund.completed") == 1
