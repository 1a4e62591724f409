"""Disputes: in any order, as often as told, never backwards, and booked to the cent even where a refund lands as well."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest

from domain.access import Actor
from domain.audit import Origin
from domain.currencies import Currency
from domain.errors import NotRefundable
from domain.messaging.webhook_events import EventState, EventSubject
from domain.money import Money
from domain.payments.books import Contradiction, UnknownObject
from domain.payments.dispute import DisputeStatus
from domain.payments.gateway import DisputeReport, RefundReport, RefundReportStatus
from domain.payments.transaction import Transaction, TransactionStatus
from tests.support.acts import Acts, codes
from tests.support.database import rows
from tests.support.ledger import balances, journal

DISPUTE = EventSubject.DISPUTE
FEE = 59
DISPUTE_FEE = 1500
PAID = {"PROCESSOR_BALANCE USD": 1000 - FEE, "REVENUE USD": -1000, "PROCESSOR_FEES USD": FEE}


@pytest.fixture
async def payer(acts: Acts) -> Actor:
    return await acts.add_actor()


@pytest.fixture
async def payment(acts: Acts, payer: Actor) -> Transaction:
    return await acts.paid(payer)


def reference_of(payment: Transaction) -> str:
    assert payment.processor_reference is not None
    return payment.processor_reference


async def apply(acts: Acts, *reports: DisputeReport) -> None:
    for report in reports:
        async with acts.units.begin() as uow:
            await acts.outcomes.apply_dispute(uow, report, Origin.WEBHOOK)


async def statuses(acts: Acts) -> list[str]:
    return [str(status) for (status,) in await rows(acts.engine, "SELECT status FROM disputes ORDER BY id")]


async def test_an_open_dispute_takes_the_money_and_bars_refunds(acts: Acts, payer: Actor, payment: Transaction) -> None:
    opened = acts.gateway.dispute(reference_of(payment))
    assert await acts.tell(DISPUTE, opened.reference, times=3) == [EventState.APPLIED]
    now = await acts.now(payment.id)
    assert (now.status, now.disputed, now.refundable) == (TransactionStatus.COMPLETED, 1000, 0)
    assert await balances(acts.engine) == PAID | {
        "PROCESSOR_BALANCE USD": -FEE - DISPUTE_FEE,
        "PROCESSOR_FEES USD": FEE + DISPUTE_FEE,
        "DISPUTES USD": 1000,
    }
    assert (await acts.audit(payment.id))[-1] == "dispute.opened"
    with pytest.raises(NotRefundable):
        await acts.refund(payer, payment.id)
    assert acts.gateway.refunds == {}


@pytest.mark.parametrize("won", [True, False])
async def test_a_decision_gives_the_money_back_or_writes_it_off(acts: Acts, payment: Transaction, won: bool) -> None:
    opened = acts.gateway.dispute(reference_of(payment))
    await acts.tell(DISPUTE, opened.reference)
    acts.gateway.disputes.close(opened.reference, won=won)
    await acts.tell(DISPUTE, opened.reference, times=2)
    await acts.tell(DISPUTE, opened.reference)
    kept = 1000 - FEE - DISPUTE_FEE if won else -FEE - DISPUTE_FEE
    expected = PAID | {"PROCESSOR_BALANCE USD": kept, "PROCESSOR_FEES USD": FEE + DISPUTE_FEE}
    assert await balances(acts.engine) == (expected if won else expected | {"DISPUTE_LOSSES USD": 1000})
    now = await acts.now(payment.id)
    assert now.disputed == (0 if won else 1000)
    assert now.refundable == (1000 if won else 0)
    assert (await acts.audit(payment.id))[-2:] == ["dispute.opened", "dispute.won" if won else "dispute.lost"]
    assert await statuses(acts) == ["WON" if won else "LOST"]


async def test_an_inquiry_takes_nothing_and_bars_nothing(acts: Acts, payer: Actor) -> None:
    payment = (await acts.pay(payer, method="pm_card_createDisputeInquiry")).transaction
    assert payment is not None
    inquiry = acts.gateway.dispute(reference_of(payment))
    await acts.tell(DISPUTE, inquiry.reference)
    assert await balances(acts.engine) == PAID
    assert (await acts.now(payment.id)).disputed == 0
    assert codes(await acts.refund(payer, payment.id, 300)) == []
    # It becomes a dispute after all: of what is left, and of what has gone back already.
    acts.gateway.disputes.escalate(inquiry.reference)
    await acts.tell(DISPUTE, inquiry.reference)
    assert (await acts.now(payment.id)).disputed == 1000
    assert acts.alerts.lost_twice == [payment.id]
    assert (await balances(acts.engine))["DISPUTES USD"] == 1000


@pytest.mark.parametrize("won", [True, False])
async def test_reports_in_any_order_come_to_the_same(acts: Acts, payer: Actor, won: bool) -> None:
    ends = set()
    for number, order in enumerate(permutations(range(3))):
        payment = await acts.paid(payer, f"key-{won}-{number}")
        opened = acts.gateway.dispute(reference_of(payment))
        disputes = acts.gateway.disputes
        reports = [
            opened,
            disputes.become(opened.reference, DisputeStatus.UNDER_REVIEW),
            disputes.close(opened.reference, won=won),
        ]
        await apply(acts, *(reports[index] for index in order), *reports)
        now = await acts.now(payment.id)
        posted = sorted(kind for kind, _ in await journal(acts.engine, payment.id))
        ends.add((now.disputed, *posted))
    assert len(ends) == 1
    assert set(await statuses(acts)) == {"WON" if won else "LOST"}


async def test_a_decision_that_is_overturned_moves_the_money_again(acts: Acts, payment: Transaction) -> None:
    opened = acts.gateway.dispute(reference_of(payment))
    disputes = acts.gateway.disputes
    lost = disputes.close(opened.reference, won=False)
    won = disputes.close(opened.reference, won=True)
    lost_again = disputes.close(opened.reference, won=False)
    held = []
    for report in (lost, won, lost, lost_again, won, lost):
        await apply(acts, report)
        found = await balances(acts.engine)
        held.append((found.get("DISPUTES USD", 0), found.get("DISPUTE_LOSSES USD", 0)))
    # What is older than what is known changes nothing.
    assert held == [(0, 1000), (0, 0), (0, 0), (0, 1000), (0, 1000), (0, 1000)]
    assert (await acts.now(payment.id)).disputed == 1000


async def test_two_disputes_of_one_payment_are_counted_together(acts: Acts, payment: Transaction) -> None:
    first = acts.gateway.dispute(reference_of(payment), 300)
    second = acts.gateway.dispute(reference_of(payment), 500)
    await apply(acts, first, second)
    assert (await acts.now(payment.id)).disputed == 800
    await apply(acts, acts.gateway.disputes.close(first.reference, won=True))
    assert (await acts.now(payment.id)).disputed == 500
    assert (await balances(acts.engine))["DISPUTES USD"] == 500


async def test_a_bank_that_wants_more_than_was_paid_is_booked_as_it_is(acts: Acts, payment: Transaction) -> None:
    await apply(acts, acts.gateway.dispute(reference_of(payment), 1020))
    assert (await acts.now(payment.id)).disputed == 1000
    assert (await balances(acts.engine))["DISPUTES USD"] == 1020


async def test_a_dispute_of_a_payment_whose_success_was_not_heard_of_yet(acts: Acts, payer: Actor) -> None:
    answer = await acts.pay(payer, method="pm_fake_processing")
    assert answer.transaction is not None
    reference = reference_of(answer.transaction)
    acts.gateway.settle(reference)
    await acts.tell(DISPUTE, acts.gateway.dispute(reference).reference)
    now = await acts.now(answer.transaction.id)
    assert (now.status, now.disputed) == (TransactionStatus.COMPLETED, 1000)


async def test_a_refund_of_ours_that_was_on_its_way_is_booked_beside_the_dispute(
    acts: Acts, payer: Actor, payment: Transaction
) -> None:
    acts.gateway.hold_refunds_back()
    await acts.refund(payer, payment.id, 400)
    await acts.tell(DISPUTE, acts.gateway.dispute(reference_of(payment)).reference)
    assert acts.alerts.lost_twice == [payment.id]
    [refund] = acts.gateway.refunds
    acts.gateway.settle_refund(refund, RefundReportStatus.SUCCEEDED)
    await acts.tell(EventSubject.REFUND, refund)
    found = await balances(acts.engine)
    assert (found["REFUNDS USD"], found["DISPUTES USD"]) == (400, 1000)
    now = await acts.now(payment.id)
    assert (now.status, now.refunded, now.disputed) == (TransactionStatus.PARTIALLY_REFUNDED, 400, 1000)
    assert set(acts.alerts.lost_twice) == {payment.id}


async def test_a_refund_made_at_the_processor_is_booked_beside_the_dispute(acts: Acts, payment: Transaction) -> None:
    await apply(acts, acts.gateway.dispute(reference_of(payment)))
    assert acts.alerts.lost_twice == []
    made_elsewhere = RefundReport(
        reference="re_elsewhere",
        charge_reference=reference_of(payment),
        status=RefundReportStatus.SUCCEEDED,
        money=Money(400, Currency.USD),
        reason=None,
        refund_id=None,
    )
    async with acts.units.begin() as uow:
        await acts.outcomes.apply_refund(uow, made_elsewhere, Origin.WEBHOOK)
    assert acts.alerts.lost_twice == [payment.id]
    found = await balances(acts.engine)
    assert (found["REFUNDS USD"], found["DISPUTES USD"]) == (400, 1000)


async def test_a_partial_dispute_and_a_refund_of_the_rest_lose_nothing_twice(
    acts: Acts, payer: Actor, payment: Transaction
) -> None:
    await acts.refund(payer, payment.id, 600)
    await apply(acts, acts.gateway.dispute(reference_of(payment), 400))
    assert acts.alerts.lost_twice == []


@pytest.mark.parametrize(
    ("lie", "error"),
    [
        ({"live": True}, Contradiction),
        ({"money": Money(1000, Currency.EUR)}, Contradiction),
        ({"charge_reference": "ch_of_somebody_else"}, UnknownObject),
    ],
)
async def test_what_cannot_be_true_changes_nothing(
    acts: Acts, payment: Transaction, lie: dict[str, object], error: type[Exception]
) -> None:
    report = replace(acts.gateway.dispute(reference_of(payment)), **lie)  # type: ignore[arg-type]  # fields of several types
    with pytest.raises(error):
        await apply(acts, report)
    assert await balances(acts.engine) == PAID
    assert await statuses(acts) == []
    assert (await acts.now(payment.id)).disputed == 0


async def test_a_dispute_of_a_payment_that_took_nothing_is_a_contradiction(acts: Acts, payer: Actor) -> None:
    answer = await acts.pay(payer, method="pm_card_visa_chargeDeclined")
    assert answer.transaction is not None
    report = acts.gateway.dispute(reference_of(answer.transaction), 1000)
    assert await acts.tell(DISPUTE, report.reference) == [EventState.QUARANTINED]
    assert await balances(acts.engine) == {}


async def test_a_dispute_of_somebody_elses_charge_is_ignored(acts: Acts, payment: Transaction) -> None:
    foreign = acts.gateway.add_foreign_charge(reference_of(payment))
    assert await acts.tell(DISPUTE, acts.gateway.dispute(foreign).reference) == [EventState.IGNORED]
    assert await statuses(acts) == []


def _names(actions: Sequence[str]) -> list[str]:
    return [action for action in actions if action.startswith("dispute.")]


async def test_the_audit_log_tells_each_step_once(acts: Acts, payment: Transaction) -> None:
    opened = acts.gateway.dispute(reference_of(payment))
    review = acts.gateway.disputes.become(opened.reference, DisputeStatus.UNDER_REVIEW)
    won = acts.gateway.disputes.close(opened.reference, won=True)
    await apply(acts, opened, opened, review, opened, review, won, won, review)
    assert _names(await acts.audit(payment.id)) == ["dispute.opened", "dispute.answered", "dispute.won"]
