"""Each kind of discrepancy over the fake processor and real storage: found once, cured where it can be, and resolved."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import pytest

from domain.access import Actor, Role
from domain.currencies import Currency
from domain.ids import RefundId, TransactionId
from domain.messaging.webhook_events import EventSubject
from domain.money import Money
from domain.payments.gateway import ChargeOrder, ChargeStatus, RefundReport, RefundReportStatus
from domain.payments.transaction import CaptureMethod, Transaction, TransactionStatus
from domain.reconciliation.discrepancies import DiscrepancyKind, Resolution
from tests.support.acts import transaction_in
from tests.support.reconciliation import Books, the_one

_K = DiscrepancyKind
TEN = Money(1000, Currency.USD)


@pytest.fixture
async def ada(books: Books) -> Actor:
    return await books.acts.add_actor()


async def many_kinds_of_payments(books: Books, ada: Actor) -> None:
    """What a shop's day brings, nothing of it wrong."""
    acts = books.acts
    refunded = await acts.paid(ada, "refunded")
    await acts.refund(ada, refunded.id, 400, key="part")
    await acts.refund(ada, refunded.id, key="rest")
    failed = await acts.paid(ada, "refund failed")
    given = await acts.refund(ada, failed.id, 100, key="fails")
    assert given.refund is not None
    assert given.refund.processor_reference is not None
    acts.gateway.settle_refund(given.refund.processor_reference, RefundReportStatus.FAILED)
    await acts.tell(EventSubject.REFUND, given.refund.processor_reference)
    await acts.pay(ada, "declined", method="pm_card_visa_chargeDeclined")
    held = await acts.hold(ada, "captured")
    support = await acts.add_actor(Role.SUPPORT)
    await acts.capture(support, held.id, 700)
    await acts.void(support, (await acts.hold(ada, "voided")).id)
    await acts.hold(ada, "held")
    await acts.pay(ada, "waits for the payer", method="pm_card_authenticationRequired")
    disputed = await acts.paid(ada, "disputed")
    assert disputed.processor_reference is not None
    dispute = acts.gateway.dispute(disputed.processor_reference)
    await acts.tell(EventSubject.DISPUTE, dispute.reference)
    acts.gateway.disputes.close(dispute.reference, won=False)
    await acts.tell(EventSubject.DISPUTE, dispute.reference)


async def test_what_agrees_is_no_discrepancy(books: Books, ada: Actor) -> None:
    await many_kinds_of_payments(books, ada)
    report = await books.run()
    assert report.discrepancies == []
    assert await books.stored() == []
    assert (report.counts.charges, report.counts.transactions, report.counts.foreign) == (8, 8, 0)
    assert (report.counts.refunds, report.counts.disputes) == (3, 1)


def refund_elsewhere(books: Books, paid: Transaction, minor_units: int, *, label: RefundId | None = None) -> None:
    """A refund that the processor has made without a word from us, or for one of ours that it has made already."""
    assert paid.processor_reference is not None
    money = Money(minor_units, Currency.USD)
    report = RefundReport(
        reference="re_from_the_dashboard",
        charge_reference=paid.processor_reference,
        status=RefundReportStatus.SUCCEEDED,
        money=money,
        settled=money,
        reason=None,
        refund_id=label,
    )
    books.acts.gateway.add_refund(report)


Plant: TypeAlias = Callable[[Books, Actor], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """Something that goes wrong, what it is found to be, and what both sides then say."""

    plant: Plant
    kind: DiscrepancyKind
    processor: Money | None
    ours: Money | None
    cured: bool = False


async def missed_success(books: Books, ada: Actor) -> None:
    pending = transaction_in(await books.acts.pay(ada, method="pm_fake_processing"))
    assert pending.processor_reference is not None
    books.acts.gateway.settle(pending.processor_reference)
    await books.sql("UPDATE attempts SET state = 'MANUAL'")


async def taken_for_nobody(books: Books, ada: Actor) -> None:
    order = ChargeOrder(
        transaction_id=TransactionId(books.acts.ids.new()),
        money=TEN,
        payment_method_id="pm_card_visa",
        capture_method=CaptureMethod.AUTOMATIC,
        description=None,
    )
    charge = await books.acts.gateway.create_charge(order, key="somebody's")
    await books.acts.gateway.confirm_charge(charge.reference, return_url=None, key="else")


async def taken_for_a_failed_payment(books: Books, ada: Actor) -> None:
    failed = transaction_in(await books.acts.pay(ada, method="pm_card_visa_chargeDeclined"))
    assert failed.status is TransactionStatus.FAILED
    assert failed.processor_reference is not None
    books.acts.gateway.succeed_after_all(failed.processor_reference)


async def unknown_there(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.forget(paid.processor_reference)


async def captured_more_there(books: Books, ada: Actor) -> None:
    held = await books.acts.hold(ada)
    support = await books.acts.add_actor(Role.SUPPORT)
    await books.acts.capture(support, held.id, 600)
    assert held.processor_reference is not None
    books.acts.gateway.falsify(held.processor_reference, captured=700, settled=Money(700, Currency.USD))


async def received_less(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, settled=Money(990, Currency.USD))


async def other_currency(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    euros = Money(1000, Currency.EUR)
    books.acts.gateway.falsify(paid.processor_reference, money=euros, settled=euros)


async def other_fee(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, fee=Money(77, Currency.USD))


async def fee_told_late(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    await books.sql("UPDATE transactions SET fee = NULL, fee_currency = NULL")
    await books.sql(
        "DELETE FROM ledger_entries USING journal_entries e WHERE e.id = entry_id AND e.kind = 'PROCESSOR_FEE'"
    )
    await books.sql("DELETE FROM journal_entries WHERE kind = 'PROCESSOR_FEE'")
    assert paid.fee is not None


async def missed_cancellation(books: Books, ada: Actor) -> None:
    held = await books.acts.hold(ada)
    assert held.processor_reference is not None
    await books.acts.gateway.cancel_charge(held.processor_reference, key="in the dashboard")


async def only_held_there(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(
        paid.processor_reference,
        status=ChargeStatus.AUTHORIZED,
        processor_status="requires_capture",
        captured=0,
        settled=None,
        fee=None,
    )


async def charged_twice(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    order = ChargeOrder(
        transaction_id=paid.id,
        money=TEN,
        payment_method_id="pm_card_visa",
        capture_method=CaptureMethod.AUTOMATIC,
        description=None,
    )
    second = await books.acts.gateway.create_charge(order, key="another key")
    await books.acts.gateway.confirm_charge(second.reference, return_url=None, key="another still")


async def refunded_in_the_dashboard(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    refund_elsewhere(books, paid, 300)


async def refund_unknown_there(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    await books.acts.refund(ada, paid.id, 300)
    [reference] = books.acts.gateway.refunds
    books.acts.gateway.forget(reference)


async def refunded_less_here(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    await books.acts.refund(ada, paid.id, 300)
    [report] = books.acts.gateway.refunds.values()
    more = Money(310, Currency.USD)
    books.acts.gateway.add_refund(replace(report, money=more, settled=more))


async def refund_that_failed(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    await books.acts.refund(ada, paid.id, 300)
    [reference] = books.acts.gateway.refunds
    books.acts.gateway.settle_refund(reference, RefundReportStatus.FAILED)


async def refunded_twice(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    answer = await books.acts.refund(ada, paid.id, 300)
    assert answer.refund is not None
    refund_elsewhere(books, paid, 300, label=answer.refund.id)


async def missed_dispute(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.dispute(paid.processor_reference)


async def missed_verdict(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    dispute = books.acts.gateway.dispute(paid.processor_reference)
    await books.acts.tell(EventSubject.DISPUTE, dispute.reference)
    books.acts.gateway.disputes.close(dispute.reference, won=True)


async def dispute_unknown_there(books: Books, ada: Actor) -> None:
    await missed_dispute(books, ada)
    await books.acts.tell(EventSubject.DISPUTE, books.acts.gateway.disputes.all[0].reference)
    books.acts.gateway.disputes.forget()


async def other_ledger(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    await books.sql("UPDATE ledger_entries SET amount = amount * 2 WHERE amount <> 0")
    assert paid.captured == 1000


CASES: dict[str, Case] = {
    "a success that we missed": Case(missed_success, _K.MISSING_HERE, TEN, Money(0, Currency.USD), cured=True),
    "money for a transaction that is not here": Case(taken_for_nobody, _K.MISSING_HERE, TEN, None),
    "money for a failed payment": Case(taken_for_a_failed_payment, _K.MISSING_HERE, TEN, Money(0, Currency.USD)),
    "a charge unknown there": Case(unknown_there, _K.MISSING_AT_PROCESSOR, None, TEN),
    "more captured there": Case(
        captured_more_there, _K.AMOUNT_DIFFERS, Money(700, Currency.USD), Money(600, Currency.USD)
    ),
    "less on the balance": Case(received_less, _K.AMOUNT_DIFFERS, Money(990, Currency.USD), TEN),
    "another currency": Case(other_currency, _K.CURRENCY_DIFFERS, Money(1000, Currency.EUR), TEN),
    "another fee": Case(other_fee, _K.FEE_DIFFERS, Money(77, Currency.USD), Money(59, Currency.USD), cured=True),
    "a fee told late": Case(fee_told_late, _K.FEE_DIFFERS, Money(59, Currency.USD), None, cured=True),
    "a cancellation that we missed": Case(
        missed_cancellation, _K.STATUS_DIFFERS, None, Money(0, Currency.USD), cured=True
    ),
    "captured here, only held there": Case(only_held_there, _K.STATUS_DIFFERS, TEN, TEN),
    "a second charge": Case(charged_twice, _K.DUPLICATE_CHARGE, TEN, TEN),
    "a refund made in the dashboard": Case(
        refunded_in_the_dashboard, _K.REFUND_MISSING_HERE, Money(300, Currency.USD), None, cured=True
    ),
    "a refund unknown there": Case(
        refund_unknown_there, _K.REFUND_MISSING_AT_PROCESSOR, None, Money(300, Currency.USD)
    ),
    "another amount refunded": Case(
        refunded_less_here, _K.REFUND_AMOUNT_DIFFERS, Money(310, Currency.USD), Money(300, Currency.USD)
    ),
    "a refund that failed later": Case(
        refund_that_failed, _K.REFUND_STATUS_DIFFERS, Money(0, Currency.USD), Money(300, Currency.USD), cured=True
    ),
    "a second refund": Case(refunded_twice, _K.DUPLICATE_REFUND, Money(300, Currency.USD), Money(300, Currency.USD)),
    "a dispute that we missed": Case(missed_dispute, _K.DISPUTE_MISSING_HERE, TEN, None, cured=True),
    "a verdict that we missed": Case(missed_verdict, _K.DISPUTE_DIFFERS, TEN, TEN, cured=True),
    "a dispute unknown there": Case(dispute_unknown_there, _K.DISPUTE_MISSING_AT_PROCESSOR, None, TEN),
    "another sum in the ledger": Case(other_ledger, _K.LEDGER_DIFFERS, None, TEN),
}


def test_every_kind_has_a_case() -> None:
    assert {case.kind for case in CASES.values()} == set(DiscrepancyKind) - {_K.FOREIGN_CHARGE}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_each_kind_is_found_once_and_cured_where_it_can_be(books: Books, ada: Actor, case: Case) -> None:
    await case.plant(books, ada)
    dry = await books.dry_run()
    assert [(each.kind, each.processor, each.ours) for each in dry.differences] == [
        (case.kind, case.processor, case.ours)
    ]
    assert await books.stored() == []
    report = await books.run()
    found = the_one(report)
    assert (found.difference.kind, found.difference.processor, found.difference.ours) == (
        case.kind,
        case.processor,
        case.ours,
    )
    assert found.resolution is (Resolution.CURED if case.cured else None)
    # What was cured is gone; what was not is the same discrepancy still.
    again = await books.run()
    assert [each.id for each in again.discrepancies] == ([] if case.cured else [found.id])
    assert len(await books.stored()) == 1
