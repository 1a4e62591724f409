"""Stripe's disputes, and amounts in another currency than was paid, told in the words of the port."""

from datetime import UTC, datetime

import pytest

from domain.currencies import Currency
from domain.money import Money
from domain.payments.dispute import DisputeStatus
from domain.payments.gateway import BalanceMovement, OutcomeUnknown
from gateways.stripe.disputes import dispute_report
from gateways.stripe.reports import charge_report, refund_report
from gateways.stripe.shapes import OddShape
from tests.contract.stripe_wire import Body, Wire, gateway_over, intent, ok, refund

# docs.stripe.com/api/disputes/object, the fields that are read.
DISPUTE: Body = {
    "id": "du_1",
    "object": "dispute",
    "amount": 1000,
    "currency": "eur",
    "status": "needs_response",
    "reason": "fraudulent",
    "payment_intent": "pi_1",
    "charge": "ch_1",
    "livemode": False,
    "evidence_details": {"due_by": 1_790_000_000},
    "balance_transactions": [{"id": "txn_1", "amount": -1000, "fee": 1500, "currency": "eur"}],
}


def test_a_dispute_is_read() -> None:
    report = dispute_report(DISPUTE)
    assert (report.reference, report.charge_reference, report.reason) == ("du_1", "pi_1", "fraudulent")
    assert report.money == Money(1000, Currency.EUR)
    assert report.evidence_due_at == datetime.fromtimestamp(1_790_000_000, UTC)
    assert report.movements == (
        BalanceMovement(reference="txn_1", amount=Money(-1000, Currency.EUR), fee=Money(1500, Currency.EUR)),
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("warning_needs_response", DisputeStatus.INQUIRY),
        ("warning_under_review", DisputeStatus.INQUIRY),
        ("warning_closed", DisputeStatus.INQUIRY_CLOSED),
        ("prevented", DisputeStatus.INQUIRY_CLOSED),
        ("needs_response", DisputeStatus.NEEDS_RESPONSE),
        ("under_review", DisputeStatus.UNDER_REVIEW),
        ("won", DisputeStatus.WON),
        ("lost", DisputeStatus.LOST),
        ("a_status_of_next_year", DisputeStatus.NEEDS_RESPONSE),
    ],
)
def test_statuses(word: str, status: DisputeStatus) -> None:
    report = dispute_report({**DISPUTE, "status": word})
    assert (report.status, report.processor_status) == (status, word)


@pytest.mark.parametrize(
    "change",
    [
        {"balance_transactions": None},
        {"balance_transactions": ["txn_1"]},
        {"balance_transactions": [{"id": "txn_1", "amount": -1000, "fee": None, "currency": "eur"}]},
        {"balance_transactions": [{"id": "txn_1", "amount": True, "fee": 0, "currency": "eur"}]},
        {"balance_transactions": [{"id": "txn_1", "amount": -1000, "fee": 0, "currency": "zzz"}]},
        {"payment_intent": None, "charge": None},
        {"amount": "1000"},
        {"livemode": None},
        {"evidence_details": {"due_by": 10**18}},
    ],
)
async def test_what_cannot_be_read_is_no_answer(change: Body) -> None:
    with pytest.raises(OddShape):
        dispute_report({**DISPUTE, **change})
    with pytest.raises(OutcomeUnknown):
        await gateway_over(Wire(ok({**DISPUTE, **change}))).look_up_dispute("du_1")


async def test_a_dispute_is_fetched_by_its_id() -> None:
    wire = Wire(ok(DISPUTE))
    assert (await gateway_over(wire).look_up_dispute("du_1")).reference == "du_1"
    [request] = wire.requests
    assert (request.method, request.url.path, request.url.query) == ("GET", "/v1/disputes/du_1", b"")


def test_what_was_settled_in_another_currency_is_told_beside_the_fee() -> None:
    entry = {"id": "txn_1", "amount": 1080, "fee": 61, "net": 1019, "currency": "usd"}
    charged = charge_report(intent(latest_charge={"id": "ch_1", "balance_transaction": entry}))
    assert (charged.money, charged.settled, charged.fee) == (
        Money(1000, Currency.EUR),
        Money(1080, Currency.USD),
        Money(61, Currency.USD),
    )
    refunded = refund_report(refund(balance_transaction={"id": "txn_2", "amount": -432, "fee": 0, "currency": "usd"}))
    assert (refunded.money, refunded.settled) == (Money(400, Currency.EUR), Money(432, Currency.USD))


def test_what_is_not_settled_yet_is_not_guessed() -> None:
    assert charge_report(intent(latest_charge={"id": "ch_1", "balance_transaction": None})).settled is None
    assert refund_report(refund(balance_transaction="txn_2")).settled is None
