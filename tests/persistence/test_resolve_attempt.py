"""resolveAttempt: a person decides, the processor is asked first, and a refusal leaves nothing behind."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Role
from domain.currencies import Currency
from domain.errors import (
    Forbidden,
    IdempotencyKeyReused,
    InvalidIdempotencyKey,
    InvalidText,
    NotFound,
    NotResolvable,
    ProcessorUnavailable,
    Refusal,
    ResolutionContradicted,
)
from domain.ids import AttemptId
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.attempt import RESEND_WINDOW, UNRESOLVED_AFTER
from domain.payments.gateway import (
    ChargeStatus,
    OutcomeUnknown,
    RefundOrder,
    RefundReportStatus,
    RejectionKind,
    RequestRejected,
)
from domain.payments.resolve_attempt import AttemptResolution, NewResolution, ResolveAttempt
from domain.payments.transaction import Failure, Transaction, TransactionStatus
from tests.support.acts import Acts, transaction_in
from tests.support.database import age_attempts, rows

R, S = AttemptResolution, TransactionStatus
UNKNOWN = OutcomeUnknown("no answer")
BUSY = RequestRejected(RejectionKind.OTHER, Failure("refused", "Not now."))
A_SECOND = timedelta(seconds=1)


async def resolve(
    acts: Acts,
    who: Actor,
    attempt_id: AttemptId | None,
    resolution: AttemptResolution,
    *,
    key: str = "resolve-1",
    reason: str = "I called them.",
    reference: str | None = None,
) -> Answer:
    act = ResolveAttempt(
        units=acts.units,
        gateway=acts.gateway,
        runner=acts.runner,
        outcomes=acts.outcomes,
        clock=acts.clock,
        ids=acts.ids,
    )
    wanted = NewResolution(
        idempotency_key=key,
        attempt_id=attempt_id,
        resolution=resolution,
        reason=reason,
        processor_reference=reference,
    )
    return await act(who, wanted)


async def attempt_of(acts: Acts, transaction: Transaction, kind: str) -> AttemptId:
    query = "SELECT id FROM attempts WHERE transaction_id = :id AND kind = :kind"
    ((found,),) = await rows(acts.engine, query, id=transaction.id, kind=kind)
    return found  # type: ignore[return-value]  # the driver gives a UUID


async def left_behind(acts: Acts) -> list[list[tuple[object, ...]]]:
    """Everything that resolving may change."""
    tables = ("transactions", "attempts", "refunds", "audit_entries", "idempotency_keys")
    return [await rows(acts.engine, f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608  constants


async def refused(acts: Acts, refusal: type[Refusal], **wanted: object) -> Refusal:
    """Resolve, expect to be refused, and to find all as it was."""
    before, there = await left_behind(acts), (acts.gateway.charges, acts.gateway.refunds)
    with pytest.raises(refusal) as caught:
        await resolve(acts, **wanted)  # type: ignore[arg-type]  # the caller's own arguments
    assert await left_behind(acts) == before
    assert (acts.gateway.charges, acts.gateway.refunds) == there
    return caught.value


async def unclear_refund(acts: Acts, *, arrived: bool = False) -> tuple[Transaction, AttemptId]:
    """A refund of 400 whose answer is lost for so long that nobody may send it again."""
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    acts.gateway.fail_next("refund_charge", UNKNOWN)
    await acts.refund(payer, paid.id, 400)
    acts.age(RESEND_WINDOW + A_SECOND)
    await acts.recover()
    assert (await acts.attempts(paid.id))["REFUND"] == "MANUAL"
    if arrived:
        # It was on its way all the time.
        order = acts.gateway.calls_of("refund_charge")[0].arguments["order"]
        assert isinstance(order, RefundOrder)
        await acts.gateway.refund_charge(order, key="late")
    return paid, await attempt_of(acts, paid, "REFUND")


async def stuck_charge(acts: Acts, engine: AsyncEngine, state: str = "PARKED") -> tuple[Transaction, AttemptId]:
    """A payment that nobody looks after any more, and that was not confirmed."""
    acts.gateway.fail_next("confirm_charge", UNKNOWN)
    begun = transaction_in(await acts.pay(await acts.add_actor()))
    await rows(engine, f"UPDATE attempts SET state = '{state}', lease_until = NULL RETURNING 1")  # noqa: S608  constants
    return await acts.now(begun.id), await attempt_of(acts, begun, "CHARGE")


async def money(acts: Acts, transaction: Transaction) -> tuple[TransactionStatus, int, int]:
    now = await acts.now(transaction.id)
    return now.status, now.refund_reserved, now.refunded


async def test_a_refund_that_was_not_made_gives_its_reservation_back(acts: Acts) -> None:
    paid, attempt_id = await unclear_refund(acts)
    admin = await acts.add_actor(Role.ADMIN)
    assert await money(acts, paid) == (S.COMPLETED, 400, 0)
    answer = await resolve(acts, admin, attempt_id, R.MARK_NOT_REFUNDED)
    assert (transaction_in(answer).refund_reserved, answer.refusals, answer.replayed) == (0, (), False)
    assert (await acts.attempts(paid.id))["REFUND"] == "DONE"
    assert len(acts.gateway.calls_of("refund_charge")) == 1
    entries = await rows(
        acts.engine,
        "SELECT actor_id, details->>'reason', details->>'resolution' FROM audit_entries WHERE action = 'attempt.resolved'",
    )
    assert entries == [(admin.user_id, "I called them.", "MARK_NOT_REFUNDED")]
    assert (await acts.audit(paid.id))[-2:] == ["attempt.resolved", "refund.failed"]


async def test_the_same_decision_twice_is_made_once(acts: Acts) -> None:
    _, attempt_id = await unclear_refund(acts)
    admin = await acts.add_actor(Role.ADMIN)
    first = await resolve(acts, admin, attempt_id, R.MARK_NOT_REFUNDED)
    before = await left_behind(acts)
    again = await resolve(acts, admin, attempt_id, R.MARK_NOT_REFUNDED)
    assert (again.transaction, again.replayed) == (first.transaction, True)
    assert await left_behind(acts) == before
    await refused(acts, IdempotencyKeyReused, who=admin, attempt_id=attempt_id, resolution=R.LOOK_UP_AGAIN)


async def test_a_refund_that_was_made_after_all_cannot_be_called_not_made(acts: Acts) -> None:
    paid, attempt_id = await unclear_refund(acts, arrived=True)
    admin = await acts.add_actor(Role.ADMIN)
    told = await refused(acts, ResolutionContradicted, who=admin, attempt_id=attempt_id, resolution=R.MARK_NOT_REFUNDED)
    assert "re_fake_1" in told.message
    # What to do instead: it finds the refund, and does not send another.
    await resolve(acts, admin, attempt_id, R.LOOK_UP_AGAIN)
    assert await money(acts, paid) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert (await acts.attempts(paid.id))["REFUND"] == "DONE"


async def test_a_refund_that_failed_at_the_processor_was_not_made(acts: Acts) -> None:
    paid, attempt_id = await unclear_refund(acts, arrived=True)
    acts.gateway.settle_refund("re_fake_1", RefundReportStatus.FAILED)
    await resolve(acts, await acts.add_actor(Role.ADMIN), attempt_id, R.MARK_NOT_REFUNDED)
    assert await money(acts, paid) == (S.COMPLETED, 0, 0)


async def refund_by_hand(acts: Acts, paid: Transaction, minor_units: int = 400) -> str:
    """A refund that somebody makes in the processor's dashboard; its id."""
    order = RefundOrder(
        refund_id=None,  # type: ignore[arg-type]  # a refund that is not ours names no id of ours
        transaction_id=paid.id,
        charge_reference=paid.processor_reference or "",
        money=Money(minor_units, Currency.USD),
        reason=None,
    )
    return (await acts.gateway.refund_charge(order, key=f"hand-{minor_units}")).reference


async def test_a_refund_that_was_made_by_hand_is_booked_as_ours(acts: Acts) -> None:
    paid, attempt_id = await unclear_refund(acts)
    reference = await refund_by_hand(acts, paid)
    admin = await acts.add_actor(Role.ADMIN)
    await resolve(acts, admin, attempt_id, R.MARK_REFUNDED, reference=reference)
    assert await money(acts, paid) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert (await acts.attempts(paid.id))["REFUND"] == "DONE"
    assert await rows(acts.engine, "SELECT status, processor_reference FROM refunds") == [("COMPLETED", reference)]


async def test_a_refund_that_is_still_under_way_is_followed_to_its_end(acts: Acts) -> None:
    paid, attempt_id = await unclear_refund(acts)
    reference = await refund_by_hand(acts, paid)
    acts.gateway.settle_refund(reference, RefundReportStatus.PENDING)
    await resolve(acts, await acts.add_actor(Role.ADMIN), attempt_id, R.MARK_REFUNDED, reference=reference)
    assert (await acts.attempts(paid.id))["REFUND"] == "OPEN"
    acts.gateway.settle_refund(reference, RefundReportStatus.SUCCEEDED)
    await acts.recover()
    assert await money(acts, paid) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert len(acts.gateway.calls_of("refund_charge")) == 2


@pytest.mark.parametrize("what", ["unknown", "other amount", "other charge", "failed", "booked already"])
async def test_a_refund_that_cannot_be_ours_is_not_booked_as_ours(acts: Acts, what: str) -> None:
    paid, attempt_id = await unclear_refund(acts)
    match what:
        case "unknown":
            reference = "re_nobodys"
        case "other amount":
            reference = await refund_by_hand(acts, paid, 300)
        case "other charge":
            reference = await refund_by_hand(acts, await acts.paid(await acts.add_actor()))
        case "failed":
            reference = await refund_by_hand(acts, paid)
            acts.gateway.settle_refund(reference, RefundReportStatus.FAILED)
        case _:
            other = await acts.refund(await acts.add_actor(Role.SUPPORT), paid.id, 400, key="other")
            assert other.refund is not None
            reference = other.refund.processor_reference or ""
    admin = await acts.add_actor(Role.ADMIN)
    await refused(
        acts,
        ResolutionContradicted,
        who=admin,
        attempt_id=attempt_id,
        resolution=R.MARK_REFUNDED,
        reference=reference,
    )


@pytest.mark.parametrize("state", ["PARKED", "MANUAL"])
async def test_a_charge_that_nobody_confirmed_is_canceled_and_failed(
    acts: Acts, engine: AsyncEngine, state: str
) -> None:
    stuck, attempt_id = await stuck_charge(acts, engine, state)
    answer = await resolve(acts, await acts.add_actor(Role.ADMIN), attempt_id, R.MARK_FAILED)
    failed = transaction_in(answer)
    assert failed.status is S.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "resolved_by_staff"
    assert acts.gateway.charges["ch_fake_1"].status is ChargeStatus.CANCELED
    assert await acts.attempts(stuck.id) == {"CHARGE": "DONE"}


async def test_a_charge_that_was_never_recorded_is_failed(acts: Acts, engine: AsyncEngine) -> None:
    acts.gateway.fail_next("create_charge", UNKNOWN)
    begun = transaction_in(await acts.pay(await acts.add_actor()))
    await rows(engine, "UPDATE attempts SET state = 'PARKED' RETURNING 1")
    attempt_id = await attempt_of(acts, begun, "CHARGE")
    await resolve(acts, await acts.add_actor(Role.ADMIN), attempt_id, R.MARK_FAILED)
    assert (await acts.now(begun.id)).status is S.FAILED
    assert acts.gateway.calls_of("cancel_charge") == []


@pytest.mark.parametrize("status", [ChargeStatus.SUCCEEDED, ChargeStatus.AUTHORIZED, ChargeStatus.PROCESSING])
async def test_a_charge_that_took_money_cannot_be_called_failed(
    acts: Acts, engine: AsyncEngine, status: ChargeStatus
) -> None:
    _, attempt_id = await stuck_charge(acts, engine)
    acts.gateway.falsify("ch_fake_1", status=status)
    admin = await acts.add_actor(Role.ADMIN)
    await refused(acts, ResolutionContradicted, who=admin, attempt_id=attempt_id, resolution=R.MARK_FAILED)
    assert acts.gateway.calls_of("cancel_charge") == []


async def test_a_charge_that_cannot_be_canceled_is_not_called_failed(acts: Acts, engine: AsyncEngine) -> None:
    _, attempt_id = await stuck_charge(acts, engine)
    acts.gateway.refuse_next_cancellation()
    admin = await acts.add_actor(Role.ADMIN)
    await refused(acts, ResolutionContradicted, who=admin, attempt_id=attempt_id, resolution=R.MARK_FAILED)


@pytest.mark.parametrize("error", [UNKNOWN, BUSY])
@pytest.mark.parametrize("call", ["look_up_charge", "cancel_charge", "list_refunds", "look_up_refund"])
async def test_where_the_processor_does_not_say_nothing_is_decided(
    acts: Acts, engine: AsyncEngine, call: str, error: Exception
) -> None:
    if call in {"look_up_charge", "cancel_charge"}:
        _, attempt_id = await stuck_charge(acts, engine)
        resolution, reference = R.MARK_FAILED, None
    else:
        paid, attempt_id = await unclear_refund(acts)
        resolution = R.MARK_NOT_REFUNDED if call == "list_refunds" else R.MARK_REFUNDED
        reference = await refund_by_hand(acts, paid) if resolution is R.MARK_REFUNDED else None
    acts.gateway.fail_next(call, error)
    # The processor's word that it knows no such refund is an answer; the fake's rejection stands for that as well.
    refusal = ResolutionContradicted if (call, error) == ("look_up_refund", BUSY) else ProcessorUnavailable
    admin = await acts.add_actor(Role.ADMIN)
    await refused(acts, refusal, who=admin, attempt_id=attempt_id, resolution=resolution, reference=reference)


async def test_looking_again_finds_out_what_happened(acts: Acts, engine: AsyncEngine) -> None:
    stuck, attempt_id = await stuck_charge(acts, engine)
    answer = await resolve(acts, await acts.add_actor(Role.ADMIN), attempt_id, R.LOOK_UP_AGAIN)
    assert transaction_in(answer).status is S.COMPLETED
    assert await acts.attempts(stuck.id) == {"CHARGE": "DONE"}


async def test_looking_again_at_what_stays_unclear_leaves_it_to_a_person(acts: Acts) -> None:
    paid, attempt_id = await unclear_refund(acts)
    await resolve(acts, await acts.add_actor(Role.ADMIN), attempt_id, R.LOOK_UP_AGAIN)
    assert (await acts.attempts(paid.id))["REFUND"] == "MANUAL"
    assert await money(acts, paid) == (S.COMPLETED, 400, 0)
    assert len(acts.gateway.calls_of("refund_charge")) == 1


async def test_what_is_unknown_for_long_may_be_looked_up_at_once_but_not_decided(acts: Acts) -> None:
    acts.gateway.lose_next_answer("confirm_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    attempt_id = await attempt_of(acts, pending, "CHARGE")
    admin = await acts.add_actor(Role.ADMIN)
    for resolution in (R.LOOK_UP_AGAIN, R.MARK_FAILED):
        await refused(acts, NotResolvable, who=admin, attempt_id=attempt_id, resolution=resolution)
    await age_attempts(acts.engine, UNRESOLVED_AFTER + A_SECOND)
    await refused(acts, NotResolvable, who=admin, attempt_id=attempt_id, resolution=R.MARK_FAILED)
    await resolve(acts, admin, attempt_id, R.LOOK_UP_AGAIN)
    assert (await acts.now(pending.id)).status is S.COMPLETED


async def test_what_somebody_is_working_on_is_left_to_them(acts: Acts) -> None:
    acts.gateway.lose_next_answer("confirm_charge")
    pending = transaction_in(await acts.pay(await acts.add_actor()))
    attempt_id = await attempt_of(acts, pending, "CHARGE")
    await age_attempts(acts.engine, UNRESOLVED_AFTER + A_SECOND)
    await rows(acts.engine, "UPDATE attempts SET lease_until = clock_timestamp() + interval '1 hour' RETURNING 1")
    admin = await acts.add_actor(Role.ADMIN)
    await refused(acts, NotResolvable, who=admin, attempt_id=attempt_id, resolution=R.LOOK_UP_AGAIN)


async def test_what_is_done_needs_no_person(acts: Acts) -> None:
    paid = await acts.paid(await acts.add_actor())
    attempt_id = await attempt_of(acts, paid, "CHARGE")
    admin = await acts.add_actor(Role.ADMIN)
    for resolution in (R.LOOK_UP_AGAIN, R.MARK_FAILED):
        await refused(acts, NotResolvable, who=admin, attempt_id=attempt_id, resolution=resolution)


async def test_a_decision_must_fit_the_attempt(acts: Acts) -> None:
    _, attempt_id = await unclear_refund(acts)
    admin = await acts.add_actor(Role.ADMIN)
    await refused(acts, NotResolvable, who=admin, attempt_id=attempt_id, resolution=R.MARK_FAILED)


@pytest.mark.parametrize("kind", ["CAPTURE", "VOID"])
@pytest.mark.parametrize("happened", [True, False])
async def test_a_capture_or_void_is_given_up_only_if_it_did_not_happen(acts: Acts, kind: str, happened: bool) -> None:
    held = await acts.hold(await acts.add_actor())
    staff, admin = await acts.add_actor(Role.SUPPORT), await acts.add_actor(Role.ADMIN)
    call: Callable[[str], None] = (
        acts.gateway.lose_next_answer if happened else lambda name: acts.gateway.fail_next(name, UNKNOWN)
    )
    call("capture_charge" if kind == "CAPTURE" else "cancel_charge")
    await (acts.capture(staff, held.id) if kind == "CAPTURE" else acts.void(staff, held.id))
    await rows(acts.engine, "UPDATE attempts SET state = 'PARKED' WHERE kind <> 'CHARGE' RETURNING 1")
    attempt_id = await attempt_of(acts, held, kind)
    if happened:
        await refused(acts, ResolutionContradicted, who=admin, attempt_id=attempt_id, resolution=R.MARK_FAILED)
        return
    await resolve(acts, admin, attempt_id, R.MARK_FAILED)
    assert (await acts.now(held.id)).status is S.AUTHORIZED
    assert (await acts.attempts(held.id))[kind] == "DONE"
    # The way is free for the next one.
    assert (await acts.capture(staff, held.id, key="again")).refusals == ()


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SUPPORT])
async def test_only_administrators_decide(acts: Acts, role: Role) -> None:
    _, attempt_id = await unclear_refund(acts)
    who = await acts.add_actor(role)
    before = await left_behind(acts)
    with pytest.raises(Forbidden):
        await resolve(acts, who, attempt_id, R.MARK_NOT_REFUNDED)
    assert await left_behind(acts) == before


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        ({"reason": ""}, InvalidText),
        ({"reason": " \n"}, InvalidText),
        ({"reason": "x" * 1001}, InvalidText),
        ({"key": ""}, InvalidIdempotencyKey),
        ({"reference": "re_1"}, InvalidText),
        ({"resolution": R.MARK_REFUNDED}, InvalidText),
        ({"resolution": R.MARK_REFUNDED, "reference": "../charges"}, InvalidText),
        ({"attempt_id": None}, NotFound),
        ({"attempt_id": AttemptId(UUID(int=7))}, NotFound),
    ],
)
async def test_what_is_no_decision_changes_nothing(
    acts: Acts, wanted: dict[str, object], refusal: type[Refusal]
) -> None:
    _, attempt_id = await unclear_refund(acts)
    admin = await acts.add_actor(Role.ADMIN)
    usual = {"who": admin, "attempt_id": attempt_id, "resolution": R.MARK_NOT_REFUNDED}
    await refused(acts, refusal, **(usual | wanted))


async def test_of_two_that_decide_at_once_one_does(acts: Acts) -> None:
    paid, attempt_id = await unclear_refund(acts)
    reference = await refund_by_hand(acts, paid)
    admins = [await acts.add_actor(Role.ADMIN) for _ in range(2)]
    gate = acts.gateway.hold_next_answer("list_refunds")
    slow = asyncio.create_task(resolve(acts, admins[0], attempt_id, R.MARK_NOT_REFUNDED))
    await gate.reached.wait()
    await resolve(acts, admins[1], attempt_id, R.MARK_REFUNDED, reference=reference)
    gate.released.set()
    with pytest.raises(NotResolvable):
        await slow
    assert await money(acts, paid) == (S.PARTIALLY_REFUNDED, 400, 400)
    assert len([1 for action in await acts.audit(paid.id) if action == "attempt.resolved"]) == 1
