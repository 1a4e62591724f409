"""What StripeGateway makes of definite answers: rejections, declines, and charges in another state than a call expects."""

from collections.abc import Awaitable, Callable, Iterator

import httpx2
import pytest
import stamina

from domain.payments.gateway import (
    ChargeReport,
    ChargeStatus,
    OutcomeUnknown,
    RefundReportStatus,
    RejectionKind,
    RequestRejected,
)
from tests.contract.stripe_wire import (
    CARD,
    TEN_EUROS,
    Wire,
    charged_intent,
    copy_of,
    gateway_over,
    intent,
    ok,
    order,
    problem,
    raw,
    refund,
    refund_order,
)

TRIES = 4


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=TRIES, cap=True):
        yield


REJECTIONS = {
    "too small": (problem(400, "amount_too_small", param="amount"), RejectionKind.AMOUNT),
    "too large": (problem(400, "amount_too_large", param="amount"), RejectionKind.AMOUNT),
    "no whole amount": (problem(400, "parameter_invalid_integer", param="amount"), RejectionKind.AMOUNT),
    "currency": (problem(400, param="currency"), RejectionKind.CURRENCY),
    "no such method": (problem(400, "resource_missing", param="payment_method"), RejectionKind.PAYMENT_METHOD),
    "no such method, 404": (problem(404, "resource_missing", param="payment_method"), RejectionKind.PAYMENT_METHOD),
    "used method": (problem(400, param="payment_method"), RejectionKind.PAYMENT_METHOD),
    "unusable method": (problem(400, "payment_method_unactivated"), RejectionKind.PAYMENT_METHOD),
    "card error": (problem(402, "card_declined", kind="card_error"), RejectionKind.PAYMENT_METHOD),
    "unknown parameter": (problem(400, "parameter_unknown", param="colour"), RejectionKind.OTHER),
    "no code at all": (problem(400), RejectionKind.OTHER),
}


@pytest.mark.parametrize(("reply", "kind"), REJECTIONS.values(), ids=REJECTIONS.keys())
async def test_a_charge_that_cannot_be_created_is_rejected(reply: httpx2.Response, kind: RejectionKind) -> None:
    with pytest.raises(RequestRejected) as caught:
        await gateway_over(Wire(copy_of(reply))).create_charge(order(), key="k")
    assert caught.value.kind is kind
    assert caught.value.failure.message == "What Stripe says."


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (problem(400, "charge_already_refunded"), RejectionKind.ALREADY_REFUNDED),
        (problem(400, param="amount"), RejectionKind.AMOUNT),
        (problem(400, "charge_disputed"), RejectionKind.WRONG_STATE),
        (problem(400, "payment_intent_unexpected_state", payment_intent=intent("canceled")), RejectionKind.WRONG_STATE),
        (problem(404, "resource_missing", param="payment_intent"), RejectionKind.NOT_FOUND),
    ],
)
async def test_a_refund_that_cannot_be_made_is_rejected(reply: httpx2.Response, kind: RejectionKind) -> None:
    wire = Wire(copy_of(reply))
    with pytest.raises(RequestRejected) as caught:
        await gateway_over(wire).refund_charge(refund_order(), key="k")
    assert caught.value.kind is kind
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("decline_code", "fields", "retryable"),
    [
        ("generic_decline", {}, False),
        ("insufficient_funds", {}, False),
        ("insufficient_funds", {"advice_code": "try_again_later"}, False),
        ("lost_card", {"advice_code": "do_not_try_again"}, False),
        ("try_again_later", {}, True),
        ("try_again_later", {"advice_code": "do_not_try_again"}, False),
        ("processing_error", {}, True),
        ("issuer_not_available", {}, True),
        ("reenter_transaction", {}, True),
        ("approve_with_id", {}, True),
        ("a_code_of_next_year", {}, False),
    ],
)
async def test_a_decline_is_a_report(decline_code: str, fields: dict[str, object], retryable: bool) -> None:
    error = {"code": "card_declined", "decline_code": decline_code, "message": "Declined.", **fields}
    body = intent(
        "requires_payment_method",
        payment_method=None,
        last_payment_error={**error, "payment_method": {"card": CARD}},
    )
    wire = Wire(problem(402, "card_declined", kind="card_error", decline_code=decline_code, payment_intent=body))
    report = await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")
    assert report.status is ChargeStatus.DECLINED
    assert report.failure is not None
    assert (report.failure.code, report.failure.decline_code) == ("card_declined", decline_code)
    assert report.failure.message == "Declined."
    assert report.failure.retryable is retryable
    assert report.captured == 0
    # Stripe detaches the refused payment method; the error still shows which card it was.
    assert report.payment_method is not None
    assert len(wire.requests) == 1


async def test_a_decline_without_its_payment_intent_is_looked_up() -> None:
    wire = Wire(problem(402, "card_declined", kind="card_error"), ok(intent("requires_payment_method")))
    report = await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")
    assert report.status is ChargeStatus.DECLINED
    assert report.failure is not None
    assert report.failure.code == "card_declined"


async def test_a_decline_whose_look_up_gets_no_answer_stays_unknown() -> None:
    wire = Wire(problem(402, "card_declined", kind="card_error"), *[raw(503, b"")] * TRIES)
    with pytest.raises(OutcomeUnknown):
        await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")


async def test_a_refused_capture_leaves_the_charge_authorized() -> None:
    wire = Wire(problem(402, "card_declined", kind="card_error", payment_intent=intent("requires_capture")))
    with pytest.raises(RequestRejected):
        await gateway_over(wire).capture_charge("pi_1", TEN_EUROS, key="k")


# Charges that are not in the state that a call expects.


@pytest.mark.parametrize("status", ["succeeded", "canceled", "processing", "requires_capture"])
@pytest.mark.parametrize("act", ["confirm", "capture", "cancel"])
async def test_a_charge_in_another_state_is_reported_as_it_is(status: str, act: str) -> None:
    wire = Wire(problem(400, "payment_intent_unexpected_state", payment_intent=intent(status)), ok(intent(status)))
    gateway = gateway_over(wire)
    acts: dict[str, Callable[[], Awaitable[ChargeReport]]] = {
        "confirm": lambda: gateway.confirm_charge("pi_1", return_url=None, key="k"),
        "capture": lambda: gateway.capture_charge("pi_1", TEN_EUROS, key="k"),
        "cancel": lambda: gateway.cancel_charge("pi_1", key="k"),
    }
    report = await acts[act]()
    assert report.processor_status == status
    assert wire.paths[-1] == "GET /v1/payment_intents/pi_1"
    assert wire.form(1)["expand[0]"] == "latest_charge.balance_transaction"


async def test_the_error_says_what_a_charge_is_where_it_cannot_be_looked_up() -> None:
    wire = Wire(
        problem(400, "payment_intent_unexpected_state", payment_intent=intent("succeeded")), *[raw(503, b"")] * TRIES
    )
    report = await gateway_over(wire).cancel_charge("pi_1", key="k")
    assert report.status is ChargeStatus.SUCCEEDED


async def test_an_old_error_says_nothing_of_what_a_charge_is_now() -> None:
    stale = problem(400, "payment_intent_unexpected_state", payment_intent=intent("requires_action"), replayed=True)
    wire = Wire(stale, *[raw(503, b"")] * TRIES)
    with pytest.raises(OutcomeUnknown):
        await gateway_over(wire).cancel_charge("pi_1", key="k")


async def test_an_answer_kept_under_the_key_is_looked_up_afresh() -> None:
    """The payer may have completed the action since the first answer was given."""
    stale = ok(intent("requires_action"), Idempotent_Replayed="true")
    wire = Wire(stale, ok(charged_intent()))
    report = await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")
    assert report.status is ChargeStatus.SUCCEEDED
    assert wire.paths[-1] == "GET /v1/payment_intents/pi_1"


async def test_a_decline_kept_under_the_key_is_looked_up_afresh() -> None:
    stale = problem(402, "card_declined", kind="card_error", payment_intent=intent("canceled"), replayed=True)
    wire = Wire(stale, ok(charged_intent()))
    report = await gateway_over(wire).confirm_charge("pi_1", return_url=None, key="k")
    assert report.status is ChargeStatus.SUCCEEDED


async def test_a_refund_kept_under_the_key_is_looked_up_afresh() -> None:
    wire = Wire(
        ok(refund("succeeded"), Idempotent_Replayed="true"), ok(refund("failed", failure_reason="lost_or_stolen_card"))
    )
    report = await gateway_over(wire).refund_charge(refund_order(), key="k")
    assert report.status is RefundReportStatus.FAILED
    assert report.failure is not None
    assert report.failure.code == "lost_or_stolen_card"


# Payment methods.


async def test_a_payment_method_that_does_not_exist_is_rejected() -> None:
    with pytest.raises(RequestRejected) as caught:
        await gateway_over(Wire(problem(404, "resource_missing", param="payment_method"))).find_payment_method("pm_1")
    assert caught.value.kind is RejectionKind.PAYMENT_METHOD


@pytest.mark.parametrize(
    "payment_method_id", ["", "..", ".", "pm_1/detach", "pm_1?x=1", "pm 1", "pm_\x00", "pm_ä", "p" * 256]
)
async def test_an_id_that_would_change_the_address_is_not_sent(payment_method_id: str) -> None:
    wire = Wire()
    with pytest.raises(RequestRejected) as caught:
        await gateway_over(wire).find_payment_method(payment_method_id)
    assert caught.value.kind is RejectionKind.PAYMENT_METHOD
    assert wire.requests == []


async def test_a_bank_account_is_no_card() -> None:
    assert await gateway_over(Wire(ok({"id": "pm_1", "type": "us_bank_account"}))).find_payment_method("pm_1") is None


# Lists of refunds.


async def test_refunds_are_read_page_by_page() -> None:
    first = ok({"object": "list", "data": [refund(), refund(id="re_2")], "has_more": True})
    second = ok({"object": "list", "data": [refund(id="re_3")], "has_more": False})
    wire = Wire(first, second)
    reports = await gateway_over(wire).list_refunds("pi_1")
    assert [report.reference for report in reports] == ["re_1", "re_2", "re_3"]
    assert wire.form(0) == {"payment_intent": "pi_1", "limit": "100", "expand[0]": "data.balance_transaction"}
    assert wire.form(1)["starting_after"] == "re_2"


@pytest.mark.parametrize(
    "page",
    [
        {"data": [], "has_more": True},
        {"data": [refund()]},
        {"data": None, "has_more": False},
        {"data": ["re_1"], "has_more": False},
        {"data": [refund(payment_intent=None, charge=None)], "has_more": False},
    ],
)
async def test_a_list_that_may_lack_a_refund_is_an_unknown_outcome(page: object) -> None:
    with pytest.raises(OutcomeUnknown):
        await gateway_over(Wire(ok(page))).list_refunds("pi_1")
