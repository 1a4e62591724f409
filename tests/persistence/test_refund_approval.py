"""Refunds that wait for a second person, over the fake processor and real storage."""

import asyncio
from collections.abc import Awaitable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import GRANTABLE, Actor, KeyInUse, Role
from domain.currencies import Currency
from domain.errors import (
    Forbidden,
    IdempotencyKeyReused,
    InvalidText,
    NotApprovable,
    NotFound,
    NotRefundable,
    RefundExceedsRemaining,
    Refusal,
    SecondPersonNeeded,
    Unavailable,
)
from domain.ids import ApiKeyId, RefundId, TransactionId
from domain.messaging.webhook_events import EventState, EventSubject
from domain.money import Money
from domain.payments.answer import Answer
from domain.payments.decide_refund import NewDecision
from domain.payments.gateway import RefundReport, RefundReportStatus
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import Transaction, TransactionStatus
from tests.support.acts import Acts, codes
from tests.support.database import rows
from tests.support.units import Break

S = TransactionStatus
R = RefundStatus


@pytest.fixture
def acts(engine: AsyncEngine) -> Acts:
    return Acts(engine=engine, approval_above={Currency.USD: 500})


async def people(acts: Acts) -> tuple[Actor, Actor, Actor]:
    """A payer, somebody of the support, and an administrator."""
    payer, support, admin = [await acts.add_actor(role) for role in (Role.CUSTOMER, Role.SUPPORT, Role.ADMIN)]
    return payer, support, admin


async def waiting(acts: Acts, minor_units: int | None = 600) -> tuple[Transaction, Refund, Actor, Actor]:
    """A payment of ten dollars with a refund of it that waits, who asked for that, and who can approve it."""
    payer, support, admin = await people(acts)
    paid = await acts.paid(payer)
    return paid, refund_in(await acts.refund(support, paid.id, minor_units)), support, admin


def refund_in(answer: Answer) -> Refund:
    assert answer.refund is not None
    return answer.refund


async def stored(acts: Acts, refund_id: RefundId) -> Refund:
    async with acts.units.autocommit() as uow:
        found = await uow.refunds.get(refund_id)
    assert found is not None
    return found


async def sums(acts: Acts, transaction_id: TransactionId) -> tuple[TransactionStatus, int, int]:
    now = await acts.now(transaction_id)
    return now.status, now.refund_reserved, now.refunded


def given_back(acts: Acts) -> int:
    reports = acts.gateway.refunds.values()
    return sum(report.money.minor_units for report in reports if report.status is not RefundReportStatus.FAILED)


async def refund_in_dashboard(acts: Acts, transaction_id: TransactionId, minor_units: int) -> None:
    """The processor makes a refund that nobody here asked for."""
    report = RefundReport(
        reference="re_dashboard",
        charge_reference=(await acts.now(transaction_id)).processor_reference or "",
        refund_id=None,
        status=RefundReportStatus.SUCCEEDED,
        money=Money(minor_units, Currency.USD),
        reason=None,
        settled=None,
    )
    acts.gateway.add_refund(report)


async def everything(acts: Acts) -> list[list[tuple[object, ...]]]:
    tables = ("transactions", "refunds", "attempts", "audit_entries", "idempotency_keys")
    return [await rows(acts.engine, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]  # noqa: S608  constants


async def outcome(act: Awaitable[Answer]) -> str:
    """What an act came to, in a word."""
    try:
        answer = await act
    except Refusal as refusal:
        return refusal.code.value
    return refund_in(answer).status.value


async def test_a_large_refund_claims_its_money_and_sends_nothing(acts: Acts) -> None:
    paid, refund, support, _ = await waiting(acts)
    assert (refund.status, refund.requested_by, refund.decided_by) == (R.PENDING_APPROVAL, support.user_id, None)
    assert await sums(acts, paid.id) == (S.COMPLETED, 600, 0)
    assert acts.gateway.calls_of("refund_charge") == []
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE"}
    assert (await acts.audit(paid.id))[2:] == ["refund.requested"]
    # Nor does the worker, or the same request again, or a later look.
    await acts.recover()
    again = await acts.refund(support, paid.id, 600)
    assert (refund_in(again), again.replayed, again.refusals) == (refund, True, ())
    with pytest.raises(RefundExceedsRemaining):
        await acts.refund(support, paid.id, 500, key="r2")
    assert given_back(acts) == 0


async def test_an_approved_refund_is_made_once(acts: Acts) -> None:
    paid, refund, _, admin = await waiting(acts)
    answer = await acts.approve(admin, refund.id)
    made = refund_in(answer)
    assert (made.status, made.decided_by, answer.refusals, answer.replayed) == (R.COMPLETED, admin.user_id, (), False)
    assert made.decided_at is not None
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 600, 600)
    assert (await acts.audit(paid.id))[2:] == [
        "refund.requested",
        "refund.approved",
        "refund.completed",
        "transaction.partially_refunded",
    ]
    again = await acts.approve(admin, refund.id)
    assert (refund_in(again).status, again.replayed) == (R.COMPLETED, True)
    with pytest.raises(NotApprovable):
        await acts.approve(admin, refund.id, key="another")
    with pytest.raises(NotApprovable):
        await acts.reject(admin, refund.id)
    assert given_back(acts) == 600


async def test_a_rejected_refund_gives_its_money_free(acts: Acts) -> None:
    paid, refund, support, admin = await waiting(acts)
    answer = await acts.reject(admin, refund.id)
    assert (refund_in(answer).status, refund_in(answer).decided_by, codes(answer)) == (R.REJECTED, admin.user_id, [])
    assert await sums(acts, paid.id) == (S.COMPLETED, 0, 0)
    [(details,)] = await rows(acts.engine, "SELECT details FROM audit_entries WHERE action = 'refund.rejected'")
    assert isinstance(details, dict)
    assert details["reason"] == "The parcel has arrived."
    # Whoever asked for it is told, and may ask anew.
    assert codes(await acts.refund(support, paid.id, 600)) == ["REFUND_REJECTED"]
    assert (await acts.reject(admin, refund.id)).replayed
    assert refund_in(await acts.refund(support, paid.id, 400, key="r2")).status is R.COMPLETED
    assert given_back(acts) == 400


async def test_nobody_decides_about_a_refund_of_their_own(acts: Acts) -> None:
    paid, refund, support, _ = await waiting(acts)
    await rows(acts.engine, "UPDATE users SET role = 'ADMIN' WHERE id = :id RETURNING 1", id=support.user_id)
    promoted = Actor(support.user_id, Role.ADMIN)
    before = await everything(acts)
    for act in (acts.approve, acts.reject):
        with pytest.raises(SecondPersonNeeded):
            await act(promoted, refund.id)
    assert await everything(acts) == before
    assert await sums(acts, paid.id) == (S.COMPLETED, 600, 0)


async def test_nobody_approves_money_for_themselves(acts: Acts) -> None:
    _, support, admin = await people(acts)
    paid = await acts.paid(admin)
    refund = refund_in(await acts.refund(support, paid.id))
    before = await everything(acts)
    for act in (acts.approve, acts.reject):
        with pytest.raises(SecondPersonNeeded):
            await act(admin, refund.id)
    assert await everything(acts) == before


async def test_an_api_key_asks_as_its_owner_and_never_approves(acts: Acts) -> None:
    payer, _, admin = await people(acts)
    paid = await acts.paid(payer)
    by_key = Actor(admin.user_id, Role.ADMIN, KeyInUse(ApiKeyId(acts.ids.new()), frozenset(GRANTABLE)))
    refund = refund_in(await acts.refund(by_key, paid.id))
    assert refund.status is R.PENDING_APPROVAL
    with pytest.raises(SecondPersonNeeded):
        await acts.approve(admin, refund.id)
    another = await acts.add_actor(Role.ADMIN)
    with pytest.raises(Forbidden):
        await acts.approve(Actor(another.user_id, Role.ADMIN, by_key.key), refund.id)
    assert given_back(acts) == 0
    assert refund_in(await acts.approve(another, refund.id)).status is R.COMPLETED


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SUPPORT])
async def test_whoever_may_not_approve_leaves_no_trace(acts: Acts, role: Role) -> None:
    _, refund, _, _ = await waiting(acts)
    somebody = await acts.add_actor(role)
    before = await everything(acts)
    for act in (acts.approve, acts.reject):
        for refund_id in (refund.id, RefundId(acts.ids.new()), None):
            with pytest.raises(Forbidden):
                await act(somebody, refund_id)
    assert await everything(acts) == before


async def test_what_cannot_be_decided_leaves_no_trace(acts: Acts) -> None:
    paid, refund, support, admin = await waiting(acts)
    before = await everything(acts)
    for refund_id in (RefundId(acts.ids.new()), None):
        for act in (acts.approve, acts.reject):
            with pytest.raises(NotFound):
                await act(admin, refund_id)
    for reason in (None, " ", "x" * 501):
        with pytest.raises(InvalidText):
            await acts.decide_refund.reject(admin, NewDecision(idempotency_key="k", refund_id=refund.id, reason=reason))
    assert await everything(acts) == before
    other = refund_in(await acts.refund(support, paid.id, 100, key="r2"))
    await acts.approve(admin, refund.id)
    with pytest.raises(IdempotencyKeyReused):
        await acts.approve(admin, other.id)


async def test_small_refunds_do_not_add_up_to_a_large_one(acts: Acts) -> None:
    payer, support, _ = await people(acts)
    paid = await acts.paid(payer)
    found = [refund_in(await acts.refund(support, paid.id, 300, key=f"r{number}")).status for number in range(3)]
    assert found == [R.COMPLETED, R.PENDING_APPROVAL, R.PENDING_APPROVAL]
    assert given_back(acts) == 300


async def test_of_many_small_refunds_at_once_one_is_made(acts: Acts) -> None:
    payer, support, _ = await people(acts)
    paid = await acts.paid(payer)
    found = await asyncio.gather(*(acts.refund(support, paid.id, 300, key=f"r{number}") for number in range(3)))
    assert sorted(refund_in(answer).status for answer in found) == [R.COMPLETED, R.PENDING_APPROVAL, R.PENDING_APPROVAL]
    assert given_back(acts) == 300


async def test_customers_and_administrators_do_not_wait(acts: Acts) -> None:
    payer, _, admin = await people(acts)
    for number, who in enumerate((payer, admin)):
        paid = await acts.paid(payer, f"key-{number}")
        assert refund_in(await acts.refund(who, paid.id, key=f"r{number}")).status is R.COMPLETED


@pytest.mark.parametrize("same_key", [True, False])
async def test_two_who_approve_at_once_send_it_once(acts: Acts, same_key: bool) -> None:
    paid, refund, _, admin = await waiting(acts)
    another = admin if same_key else await acts.add_actor(Role.ADMIN)
    found = await asyncio.gather(
        *(outcome(acts.approve(who, refund.id, key="approve")) for who in (admin, another, admin, another))
    )
    assert "COMPLETED" in found
    assert set(found) <= {"COMPLETED", "IDEMPOTENCY_IN_PROGRESS", "NOT_APPROVABLE"}
    assert given_back(acts) == 600
    assert len(acts.gateway.calls_of("refund_charge")) == 1
    assert (await acts.audit(paid.id)).count("refund.approved") == 1
    assert await acts.attempts(paid.id) == {"CHARGE": "DONE", "REFUND": "DONE"}


@pytest.mark.parametrize("first", ["approve", "reject"])
async def test_of_approval_and_rejection_at_once_one_holds(acts: Acts, first: str) -> None:
    paid, refund, _, admin = await waiting(acts)
    another = await acts.add_actor(Role.ADMIN)
    decisions = [acts.approve(admin, refund.id), acts.reject(another, refund.id)]
    found = await asyncio.gather(*map(outcome, decisions if first == "approve" else reversed(decisions)))
    assert found.count("NOT_APPROVABLE") == 1
    decided = (await stored(acts, refund.id)).status
    approved = decided is R.COMPLETED
    assert decided in {R.COMPLETED, R.REJECTED}
    assert given_back(acts) == (600 if approved else 0)
    assert await sums(acts, paid.id) == ((S.PARTIALLY_REFUNDED, 600, 600) if approved else (S.COMPLETED, 0, 0))
    audited = await acts.audit(paid.id)
    assert [audited.count(action) for action in ("refund.approved", "refund.rejected")] == [approved, not approved]


async def test_a_refund_waits_on_while_its_payment_is_disputed(acts: Acts) -> None:
    paid, refund, _, admin = await waiting(acts)
    reference = (await acts.now(paid.id)).processor_reference or ""
    opened = acts.gateway.dispute(reference)
    await acts.tell(EventSubject.DISPUTE, opened.reference)
    before = await everything(acts)
    with pytest.raises(NotRefundable):
        await acts.approve(admin, refund.id)
    assert await everything(acts) == before
    # It was never sent, so that the money was not lost twice.
    assert acts.alerts.lost_twice == []
    assert refund_in(await acts.reject(admin, refund.id)).status is R.REJECTED


async def test_a_refund_gives_way_to_one_that_the_processor_has_made(acts: Acts) -> None:
    paid, refund, support, admin = await waiting(acts)
    await refund_in_dashboard(acts, paid.id, 700)
    assert await acts.tell(EventSubject.REFUND, "re_dashboard") == [EventState.APPLIED]
    assert (await stored(acts, refund.id)).status is R.REJECTED
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 700, 700)
    with pytest.raises(NotApprovable):
        await acts.approve(admin, refund.id)
    assert codes(await acts.refund(support, paid.id, 600)) == ["REFUND_REJECTED"]
    assert acts.gateway.calls_of("refund_charge") == []


async def test_no_more_gives_way_than_must(acts: Acts) -> None:
    paid, first, support, admin = await waiting(acts, 550)
    second = refund_in(await acts.refund(support, paid.id, 300, key="r2"))
    await refund_in_dashboard(acts, paid.id, 200)
    await acts.tell(EventSubject.REFUND, "re_dashboard")
    assert [(await stored(acts, each.id)).status for each in (first, second)] == [R.PENDING_APPROVAL, R.REJECTED]
    assert refund_in(await acts.approve(admin, first.id)).status is R.COMPLETED
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 750, 750)


async def test_approval_while_the_processor_makes_another_never_gives_back_too_much(acts: Acts) -> None:
    paid, refund, _, admin = await waiting(acts)
    await refund_in_dashboard(acts, paid.id, 400)
    await asyncio.gather(outcome(acts.approve(admin, refund.id)), acts.tell(EventSubject.REFUND, "re_dashboard"))
    assert await sums(acts, paid.id) == (S.REFUNDED, 1000, 1000)
    assert given_back(acts) == 1000


@pytest.mark.parametrize("how", Break)
@pytest.mark.parametrize("after", range(4))
async def test_a_crash_at_any_commit_of_an_approval_refunds_once(acts: Acts, how: Break, after: int) -> None:
    paid, refund, _, admin = await waiting(acts)
    acts.units.break_off(how, after=after)
    with pytest.raises(Unavailable):
        await acts.approve(admin, refund.id)
    await acts.recover()
    answer = await acts.approve(admin, refund.id)
    assert (answer.refusals, refund_in(answer).status) == ((), R.COMPLETED)
    assert await sums(acts, paid.id) == (S.PARTIALLY_REFUNDED, 600, 600)
    assert given_back(acts) == 600


@pytest.mark.parametrize("how", Break)
async def test_a_crash_of_a_rejection_gives_the_money_free_once(acts: Acts, how: Break) -> None:
    paid, refund, _, admin = await waiting(acts)
    acts.units.break_off(how)
    with pytest.raises(Unavailable):
        await acts.reject(admin, refund.id)
    assert refund_in(await acts.reject(admin, refund.id)).status is R.REJECTED
    assert await sums(acts, paid.id) == (S.COMPLETED, 0, 0)


async def test_the_database_itself_refuses_that_somebody_decides_about_their_own(acts: Acts) -> None:
    _, refund, support, _ = await waiting(acts)
    with pytest.raises(Exception, match="ck_refunds_decided_by"):
        await rows(acts.engine, "UPDATE refunds SET decided_by = :id RETURNING 1", id=support.user_id)
    assert (await stored(acts, refund.id)).decided_by is None
