"""createPayment, over the fake processor and real storage: every outcome, and what is left behind by it."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain import leases
from domain.currencies import Currency
from domain.errors import (
    CardNumberRefused,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidAmount,
    InvalidIdempotencyKey,
    InvalidMetadata,
    InvalidPaymentMethod,
    InvalidText,
    Refusal,
    Unavailable,
)
from domain.messaging.webhook_events import EventSubject
from domain.money import Money
from domain.payments.create_payment import NewPayment
from domain.payments.gateway import ChargeStatus, OutcomeUnknown, RejectionKind, RequestRejected
from domain.payments.transaction import CaptureMethod, Failure, PaymentMethodSummary, TransactionStatus
from tests.support.acts import Acts, codes, new_payment, transaction_in
from tests.support.database import rows
from tests.support.fake_gateway import GENERIC_DECLINE
from tests.support.records import TEN_DOLLARS
from tests.support.units import Break
from tests.support.waiting import until

S = TransactionStatus
UNKNOWN = OutcomeUnknown("no answer came")


def rejected(kind: RejectionKind = RejectionKind.OTHER) -> RequestRejected:
    return RequestRejected(kind, Failure("refused", "The processor refuses."))


async def count(engine: AsyncEngine) -> int:
    """How many rows of any kind payments have left behind."""
    tables = ("transactions", "attempts", "audit_entries", "idempotency_keys", "refunds")
    counts = [await rows(engine, f"SELECT 1 FROM {table}") for table in tables]  # noqa: S608  constants
    return sum(map(len, counts))


async def test_a_payment_is_completed(acts: Acts) -> None:
    payer = await acts.add_actor()
    answer = await acts.pay(payer)
    paid = transaction_in(answer)
    assert (answer.refusals, answer.replayed) == ((), False)
    assert (paid.status, paid.captured, paid.refundable, paid.user_id) == (S.COMPLETED, 1000, 1000, payer.user_id)
    assert paid.payment_method == PaymentMethodSummary("visa", "4242", 12, 2040)
    assert paid.fee == Money(59, Currency.USD)
    assert paid.processor_status == "succeeded"
    assert await acts.audit(paid.id) == ["transaction.created", "transaction.completed"]
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE"}
    assert await acts.now(paid.id) == paid
    charge = acts.gateway.charges[paid.processor_reference or ""]
    assert (charge.transaction_id, charge.captured) == (paid.id, 1000)
    assert [call.method for call in acts.gateway.calls] == ["find_payment_method", "create_charge", "confirm_charge"]


async def test_money_is_held_where_capture_is_manual(acts: Acts) -> None:
    held = await acts.hold(await acts.add_actor())
    assert (held.status, held.captured, held.refundable) == (S.AUTHORIZED, 0, 0)
    assert await acts.audit(held.id) == ["transaction.created", "transaction.authorized"]
    assert await acts.attempts(held.id) == {"CHARGE": "DONE"}


async def test_a_payer_who_has_to_act_is_told_how(acts: Acts) -> None:
    answer = await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired")
    waiting = transaction_in(answer)
    assert (waiting.status, answer.refusals) == (S.REQUIRES_ACTION, ())
    assert waiting.next_action is not None
    assert await acts.audit(waiting.id) == ["transaction.created", "transaction.requires_action"]
    assert await acts.attempts(waiting.id) == {"CHARGE": "OPEN"}


@pytest.mark.parametrize("capture", CaptureMethod)
async def test_the_worker_hears_that_the_payer_has_acted(acts: Acts, capture: CaptureMethod) -> None:
    answer = await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired", capture=capture)
    waiting = transaction_in(answer)
    assert await acts.recover() == 1
    assert (await acts.now(waiting.id)).status is S.REQUIRES_ACTION
    acts.gateway.authenticate(waiting.processor_reference or "")
    assert await acts.recover() == 1
    done = await acts.now(waiting.id)
    assert done.status is (S.COMPLETED if capture is CaptureMethod.AUTOMATIC else S.AUTHORIZED)
    assert done.next_action is None
    assert await acts.recover() == 0


async def test_a_declined_card_is_a_failed_payment_and_a_refusal(acts: Acts) -> None:
    answer = await acts.pay(await acts.add_actor(), method="pm_card_visa_chargeDeclined")
    failed = transaction_in(answer)
    assert codes(answer) == ["CARD_DECLINED"]
    assert (failed.status, failed.failure, failed.captured) == (S.FAILED, GENERIC_DECLINE, 0)
    assert await acts.audit(failed.id) == ["transaction.created", "transaction.failed"]
    assert await acts.attempts(failed.id) == {"CHARGE": "DONE"}
    repeated = await acts.pay(await acts.add_actor(), "another key", method="pm_card_visa_chargeDeclined")
    assert transaction_in(repeated).id != failed.id


async def test_a_payment_that_the_processor_still_works_on_is_pending_without_a_refusal(acts: Acts) -> None:
    answer = await acts.pay(await acts.add_actor(), method="pm_fake_processing")
    pending = transaction_in(answer)
    assert (pending.status, pending.processor_status, answer.refusals) == (S.PENDING, "processing", ())
    acts.gateway.settle(pending.processor_reference or "")
    assert await acts.recover() == 1
    assert (await acts.now(pending.id)).status is S.COMPLETED


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (RejectionKind.AMOUNT, "INVALID_AMOUNT"),
        (RejectionKind.CURRENCY, "INVALID_CURRENCY"),
        (RejectionKind.PAYMENT_METHOD, "INVALID_PAYMENT_METHOD"),
        (RejectionKind.WRONG_STATE, "PROCESSOR_REFUSED"),
        (RejectionKind.OTHER, "PROCESSOR_REFUSED"),
    ],
)
@pytest.mark.parametrize("call", ["create_charge", "confirm_charge"])
async def test_a_payment_that_the_processor_rejects_has_failed(
    acts: Acts, call: str, kind: RejectionKind, code: str
) -> None:
    payer = await acts.add_actor()
    acts.gateway.fail_next(call, rejected(kind))
    answer = await acts.pay(payer)
    failed = transaction_in(answer)
    assert (codes(answer), failed.status) == ([code], S.FAILED)
    assert await acts.audit(failed.id) == ["transaction.created", "transaction.failed"]
    assert await acts.attempts(failed.id) == {"CHARGE": "DONE"}
    # Nothing that exists at the processor could still be paid.
    assert {charge.status for charge in acts.gateway.charges.values()} <= {ChargeStatus.CANCELED}
    replayed = await acts.pay(payer)
    assert (codes(replayed), replayed.replayed) == ([code], True)


@pytest.mark.parametrize("call", ["create_charge", "confirm_charge"])
@pytest.mark.parametrize("lost", [True, False], ids=["answer lost", "never arrived"])
@pytest.mark.parametrize("outage", [timedelta(0), timedelta(hours=25)], ids=["keys kept", "keys gone"])
async def test_an_unknown_outcome_is_found_out_and_charges_once(
    acts: Acts, call: str, lost: bool, outage: timedelta
) -> None:
    payer = await acts.add_actor()
    if lost:
        acts.gateway.lose_next_answer(call)
    else:
        acts.gateway.fail_next(call, UNKNOWN)
    answer = await acts.pay(payer)
    pending = transaction_in(answer)
    assert (pending.status, codes(answer)) == (S.PENDING, ["PROCESSOR_UNAVAILABLE"])
    assert await acts.attempts(pending.id) == {"CHARGE": "OPEN"}
    replayed = await acts.pay(payer)
    assert (codes(replayed), replayed.replayed) == (["PROCESSOR_UNAVAILABLE"], True)
    acts.age(outage)
    assert await acts.recover() == 1
    assert (await acts.now(pending.id)).status is S.COMPLETED
    assert await acts.audit(pending.id) == ["transaction.created", "transaction.completed"]
    taken = [charge for charge in acts.gateway.charges.values() if charge.captured]
    assert [charge.transaction_id for charge in taken] == [pending.id]
    assert codes(await acts.pay(payer)) == []


async def test_an_outcome_is_asked_for_until_it_is_known(acts: Acts) -> None:
    acts.gateway.lose_next_answer("confirm_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    for _ in range(40):
        acts.gateway.fail_next("look_up_charge", UNKNOWN)
        assert await acts.recover() == 1
    assert (await acts.now(pending.id)).status is S.PENDING
    assert await acts.recover() == 1
    assert (await acts.now(pending.id)).status is S.COMPLETED


async def test_a_look_up_that_is_rejected_decides_nothing(acts: Acts) -> None:
    acts.gateway.lose_next_answer("confirm_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    acts.gateway.fail_next("look_up_charge", rejected(RejectionKind.NOT_FOUND))
    await acts.recover()
    assert (await acts.now(pending.id)).status is S.PENDING
    due = await rows(acts.engine, "SELECT lease_until FROM attempts WHERE next_check_at > clock_timestamp()")
    assert due == [(None,)]
    await acts.recover()
    assert (await acts.now(pending.id)).status is S.COMPLETED


async def test_a_fence_that_is_rejected_leaves_the_payment_open_until_it_holds(acts: Acts) -> None:
    acts.gateway.fail_next("confirm_charge", rejected())
    acts.gateway.fail_next("cancel_charge", rejected())
    payer = await acts.add_actor()
    answer = await acts.pay(payer)
    assert codes(answer) == ["PROCESSOR_UNAVAILABLE"]
    await acts.recover()
    failed = await acts.now(transaction_in(answer).id)
    assert failed.status is S.FAILED
    assert codes(await acts.pay(payer)) == ["PROCESSOR_REFUSED"]
    # What was rejected for good is not asked for again.
    assert len(acts.gateway.calls_of("confirm_charge")) == 1


@pytest.mark.parametrize("how", Break)
@pytest.mark.parametrize("after", range(2, 5))
@pytest.mark.parametrize("door", ["recovery", "webhook"])
async def test_a_rejected_payment_tells_why_it_failed_wherever_its_request_crashed(
    acts: Acts, how: Break, after: int, door: str
) -> None:
    payer = await acts.add_actor()
    error = rejected()
    acts.gateway.fail_next("confirm_charge", error)
    acts.units.break_off(how, after=after)
    try:
        await acts.pay(payer)
    except Unavailable:
        acts.units.heal()
    # A real processor keeps the rejection under the key; where the confirmation is sent again, it says so again.
    acts.gateway.fail_next("confirm_charge", error)
    if door == "webhook":
        await acts.tell(EventSubject.CHARGE, "ch_fake_1")
    await acts.recover()
    answer = await acts.pay(payer)
    failed = transaction_in(answer)
    assert (failed.status, codes(answer)) == (S.FAILED, ["PROCESSOR_REFUSED"])
    assert failed.failure is not None
    assert failed.failure.code == error.failure.code
    assert await acts.attempts(failed.id) == {"CHARGE": "DONE"}
    assert acts.gateway.charges["ch_fake_1"].status is ChargeStatus.CANCELED


@pytest.mark.parametrize("how", Break)
@pytest.mark.parametrize("after", range(4))
async def test_a_crash_at_any_commit_charges_once(acts: Acts, how: Break, after: int) -> None:
    payer = await acts.add_actor()
    acts.units.break_off(how, after=after)
    try:
        await acts.pay(payer)
    except Unavailable:
        acts.units.heal()
    await acts.recover()
    answer = await acts.pay(payer)
    paid = transaction_in(answer)
    assert (paid.status, answer.refusals) == (S.COMPLETED, ())
    assert await acts.audit(paid.id) == ["transaction.created", "transaction.completed"]
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE"}
    assert sum(charge.captured for charge in acts.gateway.charges.values()) == 1000
    assert await rows(acts.engine, "SELECT count(*) FROM transactions") == [(1,)]


async def test_a_repetition_gets_the_first_answer_and_needs_no_processor(acts: Acts) -> None:
    payer = await acts.add_actor()
    first = await acts.pay(payer)
    calls, left = len(acts.gateway.calls), await count(acts.engine)
    again = await acts.pay(payer)
    assert (again.transaction, again.refusals, again.replayed) == (first.transaction, (), True)
    assert (len(acts.gateway.calls), await count(acts.engine)) == (calls, left)


async def test_a_key_is_good_for_one_input(acts: Acts) -> None:
    payer = await acts.add_actor()
    await acts.pay(payer)
    calls, left = len(acts.gateway.calls), await count(acts.engine)
    with pytest.raises(IdempotencyKeyReused):
        await acts.pay(payer, money=Money(1001, Currency.USD))
    assert (len(acts.gateway.calls), await count(acts.engine)) == (calls, left)


async def test_another_payers_key_is_another_key(acts: Acts) -> None:
    ada, bob = await acts.add_actor(), await acts.add_actor()
    one, other = await acts.pay(ada), await acts.pay(bob)
    assert transaction_in(one).id != transaction_in(other).id
    assert not other.replayed


async def test_a_repetition_while_the_first_is_running_has_to_wait(acts: Acts) -> None:
    payer = await acts.add_actor()
    gate = acts.gateway.hold_next("confirm_charge")
    first = asyncio.create_task(acts.pay(payer))
    await gate.reached.wait()
    with pytest.raises(IdempotencyInProgress):
        await acts.pay(payer)
    with pytest.raises(IdempotencyKeyReused):
        await acts.pay(payer, money=Money(1001, Currency.USD))
    gate.released.set()
    answer = await first
    assert transaction_in(await acts.pay(payer)) == answer.transaction


async def test_a_hundred_at_once_with_one_key_make_one_charge(acts: Acts) -> None:
    payer = await acts.add_actor()
    outcomes = await asyncio.gather(*(acts.pay(payer) for _ in range(100)), return_exceptions=True)
    answers = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert all(isinstance(outcome, IdempotencyInProgress) for outcome in outcomes if isinstance(outcome, BaseException))
    assert {transaction_in(answer).id for answer in answers} == {transaction_in(answers[0]).id}
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(acts.gateway.charges) == 1
    assert await rows(acts.engine, "SELECT count(*) FROM attempts") == [(1,)]


async def test_a_call_that_takes_long_does_not_lose_the_attempt(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT", timedelta(milliseconds=1))
    payer = await acts.add_actor()
    gate = acts.gateway.hold_next("confirm_charge")
    request = asyncio.create_task(acts.pay(payer))
    await gate.reached.wait()
    ended = "UPDATE attempts SET lease_until = now() - interval '1 s', next_check_at = now() RETURNING 1"
    await rows(acts.engine, ended)

    async def renewed() -> bool:
        return await rows(acts.engine, "SELECT lease_until > clock_timestamp() FROM attempts") == [(True,)]

    await until(renewed)
    assert await acts.recovery.claim(10) == []
    gate.released.set()
    assert transaction_in(await request).status is S.COMPLETED
    assert len(acts.gateway.calls_of("confirm_charge")) == 1


async def test_a_mistake_of_ours_is_put_off_and_does_not_count_as_a_death(acts: Acts) -> None:
    acts.gateway.lose_next_answer("confirm_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    acts.gateway.fail_next("look_up_charge", RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        await acts.recover()
    left = "SELECT state, unreported_claims, reason FROM attempts WHERE next_check_at > clock_timestamp()"
    assert await rows(acts.engine, left) == [("OPEN", 0, "an error in Florin: RuntimeError")]
    await acts.recover()
    assert (await acts.now(pending.id)).status is S.COMPLETED


async def test_worker_and_request_at_once_charge_once(acts: Acts) -> None:
    payer = await acts.add_actor()
    gate = acts.gateway.hold_next_answer("create_charge")
    request = asyncio.create_task(acts.pay(payer))
    await gate.reached.wait()
    # The request has hung for longer than its lease: the worker takes over and finishes.
    assert await acts.recover() == 1
    gate.released.set()
    answer = await request
    assert transaction_in(answer).status is S.COMPLETED
    assert [charge.captured for charge in acts.gateway.charges.values()] == [1000]
    assert await acts.audit(transaction_in(answer).id) == ["transaction.created", "transaction.completed"]


@pytest.mark.parametrize(
    ("payment", "refusal"),
    [
        (new_payment(""), InvalidIdempotencyKey),
        (new_payment(money=Money(49, Currency.USD)), InvalidAmount),
        (new_payment(money=Money(0, Currency.USD)), InvalidAmount),
        (new_payment(money=Money(-1000, Currency.USD)), InvalidAmount),
        (new_payment(money=Money(10**40, Currency.USD)), InvalidAmount),
        (new_payment(money=Money(1001, Currency.KWD)), InvalidAmount),
        (new_payment(method="4242424242424242"), InvalidPaymentMethod),
        (new_payment(method="pm/../refunds"), InvalidPaymentMethod),
        (new_payment(method=""), InvalidPaymentMethod),
        (new_payment(method="pm_ä"), InvalidPaymentMethod),
        (new_payment(method="pm_" + "x" * 300), InvalidPaymentMethod),
        (new_payment(method="pm_unknown"), InvalidPaymentMethod),
    ],
)
async def test_what_cannot_be_a_payment_leaves_no_trace(
    acts: Acts, payment: NewPayment, refusal: type[Refusal]
) -> None:
    payer = await acts.add_actor()
    with pytest.raises(refusal):
        await acts.create_payment(payer, payment)
    assert await count(acts.engine) == 0
    assert acts.gateway.charges == {}


@pytest.mark.parametrize(
    ("description", "metadata", "return_url", "refusal"),
    [
        ("4242 4242 4242 4242", None, None, CardNumberRefused),
        ("x" * 1001, None, None, InvalidText),
        ("a\x00", None, None, InvalidText),
        (None, {"card": "4242-4242-4242-4242"}, None, CardNumberRefused),
        (None, [], None, InvalidMetadata),
        (None, {"n": 2**64}, None, InvalidMetadata),
        (None, None, "javascript:alert(1)", InvalidText),
        (None, None, "https://shop.test/\x00", InvalidText),
    ],
)
async def test_text_that_must_not_be_stored_leaves_no_trace(
    acts: Acts, description: str | None, metadata: object, return_url: str | None, refusal: type[Refusal]
) -> None:
    payment = NewPayment(
        idempotency_key="key-1",
        money=TEN_DOLLARS,
        payment_method_id="pm_card_visa",
        description=description,
        metadata=metadata,
        capture_method=CaptureMethod.AUTOMATIC,
        return_url=return_url,
    )
    payer = await acts.add_actor()
    with pytest.raises(refusal):
        await acts.create_payment(payer, payment)
    assert await count(acts.engine) == 0
    assert acts.gateway.calls == []


async def test_what_the_payer_says_of_a_payment_is_kept(acts: Acts) -> None:
    payment = NewPayment(
        idempotency_key="key-1",
        money=Money(5000, Currency.JPY),
        payment_method_id="pm_fake_bank_account",
        description="Tee & Gebäck",
        metadata={"order": 7, "tags": ["a", None, 2**63 - 1, 0.5], "ключ": {"😀": False}},
        capture_method=CaptureMethod.AUTOMATIC,
        return_url="https://shop.test/back",
    )
    stored = await acts.now(transaction_in(await acts.create_payment(await acts.add_actor(), payment)).id)
    assert (stored.description, stored.metadata, stored.return_url) == (
        payment.description,
        payment.metadata,
        payment.return_url,
    )
    assert (stored.money, stored.payment_method) == (payment.money, None)
    confirmed = acts.gateway.calls_of("confirm_charge")[0].arguments
    assert confirmed["return_url"] == "https://shop.test/back"


async def test_a_payment_method_that_cannot_be_asked_for_lets_the_payment_go_on(acts: Acts) -> None:
    for number, error in enumerate((UNKNOWN, rejected())):
        acts.gateway.fail_next("find_payment_method", error)
        answer = await acts.pay(await acts.add_actor(), f"key-{number}")
        # The charge's own report tells the card then.
        assert transaction_in(answer).payment_method == PaymentMethodSummary("visa", "4242", 12, 2040)


async def test_a_declined_challenge_is_canceled_before_it_is_called_failed(acts: Acts) -> None:
    waiting = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired"))
    reference = waiting.processor_reference or ""
    acts.gateway.authenticate(reference, success=False)
    acts.gateway.fail_next("cancel_charge", UNKNOWN)
    await acts.recover()
    assert (await acts.now(waiting.id)).status is S.REQUIRES_ACTION
    await acts.recover()
    failed = await acts.now(waiting.id)
    assert failed.status is S.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "payment_intent_authentication_failure"
    assert acts.gateway.charges[reference].status is ChargeStatus.CANCELED


async def test_a_success_that_comes_before_the_fence_is_adopted(acts: Acts) -> None:
    waiting = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired"))
    reference = waiting.processor_reference or ""
    acts.gateway.authenticate(reference, success=False)
    gate = acts.gateway.hold_next("cancel_charge")
    recovery = asyncio.create_task(acts.recover())
    await gate.reached.wait()
    # The payer tries again with another card, and this time it works.
    acts.gateway.succeed_after_all(reference)
    gate.released.set()
    await recovery
    done = await acts.now(waiting.id)
    assert (done.status, done.captured, done.failure) == (S.COMPLETED, 1000, None)


async def test_a_charge_that_cannot_be_canceled_yet_is_not_called_failed(acts: Acts) -> None:
    waiting = transaction_in(await acts.pay(await acts.add_actor(), method="pm_card_authenticationRequired"))
    reference = waiting.processor_reference or ""
    acts.gateway.authenticate(reference, success=False)
    acts.gateway.refuse_next_cancellation()
    await acts.recover()
    assert (await acts.now(waiting.id)).status is S.REQUIRES_ACTION
    acts.age(timedelta(seconds=5))
    await acts.recover()
    assert (await acts.now(waiting.id)).status is S.FAILED
    assert acts.gateway.charges[reference].status is ChargeStatus.CANCELED
