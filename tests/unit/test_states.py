from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from domain.audit import AuditAction
from domain.currencies import Currency
from domain.ids import UserId
from domain.money import Money
from domain.payments.books import _AUDIT_OF_STATUS, Contradiction
from domain.payments.gateway import ChargeReport, ChargeStatus, RefundReport, RefundReportStatus
from domain.payments.outcomes import (
    _amounts_of_change,
    _next_refund_status,
    _next_status,
    _tells_of,
)
from domain.payments.refund import RefundStatus
from domain.payments.transaction import (
    CAPTURED,
    LEGAL_EDGES,
    UNDECIDED,
    Failure,
    TransactionStatus,
    status_after_refunds,
)
from tests.support.records import TEN_DOLLARS, refund, transaction

S = TransactionStatus
R = ChargeStatus

# Every pair that is legal, written out by hand: the table in the code is not asked about itself.
LEGAL = {
    S.PENDING: {S.REQUIRES_ACTION, S.AUTHORIZED, S.COMPLETED, S.FAILED, S.CANCELED},
    S.REQUIRES_ACTION: {S.PENDING, S.AUTHORIZED, S.COMPLETED, S.FAILED, S.CANCELED},
    S.AUTHORIZED: {S.COMPLETED, S.CANCELED},
    S.COMPLETED: {S.PARTIALLY_REFUNDED, S.REFUNDED},
    S.PARTIALLY_REFUNDED: {S.COMPLETED, S.REFUNDED},
    S.REFUNDED: {S.COMPLETED, S.PARTIALLY_REFUNDED},
    S.FAILED: set(),
    S.CANCELED: set(),
}

# Where a report leads from each status, in the order of the columns; "-" is a contradiction, "." stays.
COLUMNS = (R.UNCONFIRMED, R.REQUIRES_ACTION, R.PROCESSING, R.AUTHORIZED, R.SUCCEEDED, R.DECLINED, R.CANCELED)
NEXT = {
    S.PENDING: (".", S.REQUIRES_ACTION, ".", S.AUTHORIZED, S.COMPLETED, S.FAILED, S.CANCELED),
    S.REQUIRES_ACTION: (".", ".", S.PENDING, S.AUTHORIZED, S.COMPLETED, S.FAILED, S.CANCELED),
    S.AUTHORIZED: (".", ".", ".", ".", S.COMPLETED, ".", S.CANCELED),
    S.COMPLETED: (".", ".", ".", ".", ".", ".", "."),
    S.PARTIALLY_REFUNDED: (".", ".", ".", ".", ".", ".", "."),
    S.REFUNDED: (".", ".", ".", ".", ".", ".", "."),
    S.FAILED: (".", ".", ".", "-", "-", ".", "."),
    S.CANCELED: (".", ".", ".", "-", "-", ".", "."),
}
DECLINE = Failure("card_declined", "Your card was declined.", "generic_decline")


def report(status: ChargeStatus, failure: Failure | None = None) -> ChargeReport:
    return ChargeReport(
        reference="ch_1",
        status=status,
        processor_status=status.value.lower(),
        money=TEN_DOLLARS,
        captured=1000 if status is R.SUCCEEDED else 0,
        live=False,
        transaction_id=None,
        failure=failure,
    )


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_every_pair_of_statuses(before: TransactionStatus, after: TransactionStatus) -> None:
    assert ((before, after) in LEGAL_EDGES) is (after in LEGAL[before])


def test_no_money_is_taken_twice_and_no_end_is_left() -> None:
    for before, after in LEGAL_EDGES:
        assert before not in {S.FAILED, S.CANCELED}
        assert not (before in CAPTURED and after not in CAPTURED)
        assert not (before not in UNDECIDED and after in UNDECIDED)


@pytest.mark.parametrize(("before", "column"), list(product(S, range(len(COLUMNS)))))
def test_every_report_about_every_status(before: TransactionStatus, column: int) -> None:
    known, told = transaction(UUID(int=1), UserId(UUID(int=2)), status=before), report(COLUMNS[column])
    expected = NEXT[before][column]
    if expected == "-":
        with pytest.raises(Contradiction):
            _next_status(known, told)
    else:
        assert _next_status(known, told) == (before if expected == "." else expected)


@pytest.mark.parametrize("before", S)
def test_a_cancellation_after_a_failure_is_a_failure_while_undecided(before: TransactionStatus) -> None:
    known = transaction(UUID(int=1), UserId(UUID(int=2)), status=before)
    plain = NEXT[before][COLUMNS.index(R.CANCELED)]
    expected = S.FAILED if before in UNDECIDED else before if plain == "." else plain
    assert _next_status(known, report(R.CANCELED, DECLINE)) == expected


def test_a_report_leads_along_legal_edges_only() -> None:
    for before, row in NEXT.items():
        for after in row:
            assert after in {".", "-"} or after in LEGAL[before]


@pytest.mark.parametrize("status", S)
def test_every_status_has_an_audit_action_of_its_own(status: TransactionStatus) -> None:
    assert _AUDIT_OF_STATUS[status] is AuditAction(f"transaction.{status.value.lower()}")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (S.PENDING, {R.UNCONFIRMED, R.PROCESSING}),
        (S.REQUIRES_ACTION, {R.REQUIRES_ACTION}),
        (S.AUTHORIZED, {R.AUTHORIZED}),
        (S.COMPLETED, {R.SUCCEEDED}),
        (S.PARTIALLY_REFUNDED, {R.SUCCEEDED}),
        (S.REFUNDED, {R.SUCCEEDED}),
        (S.FAILED, {R.DECLINED, R.CANCELED}),
        (S.CANCELED, {R.CANCELED}),
    ],
)
def test_which_reports_describe_a_status(status: TransactionStatus, told: set[ChargeStatus]) -> None:
    assert {one for one in R if _tells_of(status, report(one))} == told


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        (RefundStatus.PENDING, RefundReportStatus.PENDING, RefundStatus.PENDING),
        (RefundStatus.PENDING, RefundReportStatus.SUCCEEDED, RefundStatus.COMPLETED),
        (RefundStatus.PENDING, RefundReportStatus.FAILED, RefundStatus.FAILED),
        (RefundStatus.COMPLETED, RefundReportStatus.PENDING, RefundStatus.COMPLETED),
        (RefundStatus.COMPLETED, RefundReportStatus.SUCCEEDED, RefundStatus.COMPLETED),
        (RefundStatus.COMPLETED, RefundReportStatus.FAILED, RefundStatus.FAILED),
        (RefundStatus.FAILED, RefundReportStatus.PENDING, RefundStatus.FAILED),
        (RefundStatus.FAILED, RefundReportStatus.SUCCEEDED, None),
        (RefundStatus.FAILED, RefundReportStatus.FAILED, RefundStatus.FAILED),
    ],
)
def test_every_report_about_every_refund(
    before: RefundStatus, told: RefundReportStatus, after: RefundStatus | None
) -> None:
    paid = transaction(UUID(int=1), UserId(UUID(int=2)), status=S.COMPLETED)
    known = refund(UUID(int=3), paid, status=before)
    says = RefundReport(
        reference="re_1", charge_reference="ch_1", status=told, money=known.money, reason=None, refund_id=known.id
    )
    if after is None:
        with pytest.raises(Contradiction):
            _next_refund_status(known, says)
    else:
        assert _next_refund_status(known, says) is after


def test_what_a_refunds_change_does_to_the_sums() -> None:
    assert _amounts_of_change(RefundStatus.PENDING, RefundStatus.COMPLETED, 7) == (7, 0)
    assert _amounts_of_change(RefundStatus.PENDING, RefundStatus.FAILED, 7) == (0, 7)
    assert _amounts_of_change(RefundStatus.COMPLETED, RefundStatus.FAILED, 7) == (-7, 7)


@pytest.mark.parametrize(
    ("captured", "refunded", "status"),
    [(10, 0, S.COMPLETED), (10, 1, S.PARTIALLY_REFUNDED), (10, 9, S.PARTIALLY_REFUNDED), (10, 10, S.REFUNDED)],
)
def test_the_status_that_refunds_lead_to(captured: int, refunded: int, status: TransactionStatus) -> None:
    assert status_after_refunds(captured, refunded) is status


def test_what_can_be_refunded_is_never_negative() -> None:
    paid = transaction(UUID(int=1), UserId(UUID(int=2)), status=S.COMPLETED, captured=1000)
    assert paid.refundable == 1000
    assert replace(paid, refund_reserved=300, disputed=200).refundable == 500
    assert replace(paid, refund_reserved=900, disputed=200).refundable == 0
    assert paid.in_own_currency(5) == Money(5, Currency.USD)
