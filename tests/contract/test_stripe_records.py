"""How StripeRecords reads a list: page after page, patiently, and never in circles."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import httpx2
import pytest
import stamina
import structlog

from domain.currencies import Currency
from domain.money import Money
from domain.payments.gateway import ChargeReport, OutcomeUnknown, RefundReport, RequestRejected
from domain.reconciliation.records import BalanceEntryKind, Window
from gateways.stripe.client import ANSWER_BYTES_MAX, API_VERSION
from gateways.stripe.disputes import dispute_report
from tests.contract.stripe_wire import (
    REFUND,
    SECRET_KEY,
    TRANSACTION,
    Body,
    Reply,
    Wire,
    copy_of,
    intent,
    ok,
    problem,
    raw,
    records_over,
    refund,
)
from tests.contract.test_stripe_disputes import DISPUTE

R = TypeVar("R")

CREATED = 1_796_000_000
HOUR = Window(datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, 13, tzinfo=UTC))
TRIES = 4


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=TRIES, cap=True):
        yield


def page(*objects: Body, more: bool = False) -> httpx2.Response:
    return ok({"object": "list", "data": list(objects), "has_more": more})


def listed_intent(reference: str, **changes: object) -> Body:
    return {**intent(), "id": reference, "created": CREATED, **changes}


def entry(kind: str, source: Body | None, **changes: object) -> Body:
    return {
        "id": "txn_1",
        "object": "balance_transaction",
        "type": kind,
        "amount": 1000,
        "fee": 59,
        "net": 941,
        "currency": "eur",
        "created": CREATED,
        "source": source,
        **changes,
    }


def charge(**changes: object) -> Body:
    labels = intent()["metadata"]
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 1000,
        "amount_captured": 1000,
        "currency": "eur",
        "status": "succeeded",
        "livemode": False,
        "payment_intent": "pi_1",
        "metadata": labels,
        **changes,
    }


async def everything(records: AsyncIterator[R]) -> list[R]:
    return [record async for record in records]


async def references(wire: Wire) -> list[str]:
    return [dated.report.reference for dated in await everything(records_over(wire).charges(HOUR))]


async def test_pages_follow_each_other() -> None:
    wire = Wire(page(listed_intent("pi_3"), listed_intent("pi_2"), more=True), page(listed_intent("pi_1"), more=False))
    assert await references(wire) == ["pi_3", "pi_2", "pi_1"]
    assert "starting_after" not in wire.form(0)
    assert wire.form(1)["starting_after"] == "pi_2"
    for request in wire.requests:
        assert request.headers["Stripe-Version"] == API_VERSION
        assert request.headers["Authorization"] == f"Bearer {SECRET_KEY}"


async def test_the_next_page_is_asked_for_when_it_is_wanted() -> None:
    wire = Wire(page(listed_intent("pi_2"), more=True))
    charges = records_over(wire).charges(HOUR)
    assert (await anext(charges)).report.reference == "pi_2"
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "second",
    [page(listed_intent("pi_2"), more=True), page(more=True)],
    ids=["the same page again", "an empty page"],
)
async def test_a_list_that_does_not_go_on_is_given_up(second: httpx2.Response) -> None:
    wire = Wire(page(listed_intent("pi_2"), more=True), second)
    with pytest.raises(OutcomeUnknown):
        await references(wire)
    assert len(wire.requests) == 2


async def test_a_list_that_goes_in_a_larger_circle_is_given_up() -> None:
    pages = [page(listed_intent(f"pi_{number % 3}"), more=True) for number in range(4)]
    wire = Wire(*pages)
    with pytest.raises(OutcomeUnknown):
        await references(wire)
    assert len(wire.requests) == 4


@pytest.mark.parametrize("limited", [problem(429, "rate_limit"), problem(400, "rate_limit")], ids=["429", "400"])
async def test_a_rate_limit_is_waited_for(limited: httpx2.Response) -> None:
    # Longer than the repetitions of one call last.
    refusals: list[Reply] = [copy_of(limited) for _ in range(3 * TRIES)]
    wire = Wire(*refusals, page(listed_intent("pi_1")))
    with structlog.testing.capture_logs() as logs:
        assert await references(wire) == ["pi_1"]
    assert len([line for line in logs if line["event"] == "processor_rate_limit"]) == 3


async def test_another_failure_is_not_waited_for() -> None:
    wire = Wire(*[problem(500, kind="api_error") for _ in range(TRIES)])
    with pytest.raises(OutcomeUnknown):
        await references(wire)
    assert len(wire.requests) == TRIES


async def test_a_refusal_is_said_to_be_one() -> None:
    with pytest.raises(RequestRejected):
        await references(Wire(problem(400, "parameter_unknown")))


async def test_the_deadline_is_each_pages_and_not_the_lists() -> None:
    async def hang(request: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    wire = Wire(page(listed_intent("pi_2"), more=True), hang)
    charges = records_over(wire, deadline_seconds=0.05).charges(HOUR)
    assert (await anext(charges)).report.reference == "pi_2"
    # Whoever reads takes as long as they like between two pages.
    await asyncio.sleep(0.1)
    with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.05 s"):
        await anext(charges)


async def test_a_page_may_be_larger_than_other_answers() -> None:
    padded = listed_intent("pi_1", description="x" * ANSWER_BYTES_MAX)
    assert await references(Wire(page(padded))) == ["pi_1"]


async def test_what_cannot_be_read_is_passed_over_unless_it_is_ours() -> None:
    odd = listed_intent("pi_odd", currency="xxx", metadata={"shop": "of somebody else"})
    with structlog.testing.capture_logs() as logs:
        assert await references(Wire(page(odd, listed_intent("pi_1")))) == ["pi_1"]
    assert [line["log_level"] for line in logs if line["event"] == "processor_record_skipped"] == ["warning"]
    with pytest.raises(OutcomeUnknown):
        await references(Wire(page(listed_intent("pi_odd", currency="xxx"))))


async def test_a_page_of_no_list_is_unknown() -> None:
    for answer in (ok({"object": "list"}), ok({"data": [], "has_more": None}), raw(200, b"[]")):
        with pytest.raises(OutcomeUnknown):
            await references(Wire(*[copy_of(answer) for _ in range(TRIES)]))


async def test_a_charges_balance_entry_tells_whose_it_is() -> None:
    wire = Wire(page(entry("charge", charge())))
    [found] = await everything(records_over(wire).balance_entries(HOUR))
    assert (found.kind, found.money, found.fee, found.net) == (
        BalanceEntryKind.CHARGE,
        Money(1000, Currency.EUR),
        59,
        941,
    )
    assert isinstance(found.source, ChargeReport)
    assert (found.source.reference, found.source.transaction_id) == ("pi_1", TRANSACTION)
    assert found.source.fee == Money(59, Currency.EUR)
    assert found.created_at == datetime.fromtimestamp(CREATED, UTC)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("refund", BalanceEntryKind.REFUND), ("refund_failure", BalanceEntryKind.REFUND_FAILURE)],
)
async def test_a_refunds_balance_entry_tells_which_it_is(kind: str, expected: BalanceEntryKind) -> None:
    wire = Wire(page(entry(kind, refund(), amount=-400, fee=0, net=-400)))
    [found] = await everything(records_over(wire).balance_entries(HOUR))
    assert (found.kind, found.money.minor_units) == (expected, -400)
    assert isinstance(found.source, RefundReport)
    assert found.source.refund_id == REFUND


async def test_a_disputes_balance_entry_tells_which_it_is() -> None:
    # Its type is that of other corrections too.
    wire = Wire(page(entry("adjustment", DISPUTE, amount=-1000, fee=1500, net=-2500)))
    [found] = await everything(records_over(wire).balance_entries(HOUR))
    assert (found.kind, found.money.minor_units, found.fee) == (BalanceEntryKind.DISPUTE, -1000, 1500)
    assert found.source == dispute_report(DISPUTE)


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("adjustment", None, BalanceEntryKind.OTHER),
        ("payout", {"id": "po_1", "object": "payout"}, BalanceEntryKind.OTHER),
        ("stripe_fee", None, BalanceEntryKind.OTHER),
    ],
)
async def test_other_balance_entries_name_no_charge(kind: str, source: Body | None, expected: BalanceEntryKind) -> None:
    wire = Wire(page(entry(kind, source, amount=-1000, net=-1059)))
    [found] = await everything(records_over(wire).balance_entries(HOUR))
    assert (found.kind, found.source, found.net) == (expected, None, -1059)
