"""The script of FakeGateway: what a domain test can make go wrong. That it is a processor, the common suite shows."""

import asyncio
from dataclasses import replace

import pytest

from domain.payments.gateway import ChargeStatus, OutcomeUnknown, RefundReportStatus, RejectionKind, RequestRejected
from domain.payments.transaction import Failure
from tests.contract.stripe_wire import TEN_EUROS, order, refund_order
from tests.support.fake_gateway import FakeGateway


async def test_a_call_that_fails_has_done_nothing() -> None:
    fake = FakeGateway()
    fake.fail_next("create_charge", OutcomeUnknown("no route"))
    with pytest.raises(OutcomeUnknown):
        await fake.create_charge(order(), key="k")
    assert fake.charges == {}
    assert (await fake.create_charge(order(), key="k")).status is ChargeStatus.UNCONFIRMED


async def test_a_lost_answer_leaves_what_was_done() -> None:
    fake = FakeGateway()
    charge = await fake.create_charge(order(), key="create")
    fake.lose_next_answer("confirm_charge")
    with pytest.raises(OutcomeUnknown):
        await fake.confirm_charge(charge.reference, return_url=None, key="confirm")
    assert fake.charges[charge.reference].status is ChargeStatus.SUCCEEDED
    again = await fake.confirm_charge(charge.reference, return_url=None, key="confirm")
    assert (again.status, again.captured) == (ChargeStatus.SUCCEEDED, 1000)


async def test_scripts_are_used_in_order_and_once() -> None:
    fake = FakeGateway()
    fake.fail_next("create_charge", OutcomeUnknown("first"))
    fake.fail_next("create_charge", RequestRejected(RejectionKind.OTHER, Failure("second", "No.")))
    with pytest.raises(OutcomeUnknown):
        await fake.create_charge(order(), key="k")
    with pytest.raises(RequestRejected):
        await fake.create_charge(order(), key="k")
    await fake.create_charge(order(), key="k")


async def test_a_call_can_be_held_before_it_acts() -> None:
    fake = FakeGateway()
    gate = fake.hold_next("create_charge")
    task = asyncio.ensure_future(fake.create_charge(order(), key="k"))
    await asyncio.wait_for(gate.reached.wait(), 5)
    assert fake.charges == {}
    gate.released.set()
    assert (await asyncio.wait_for(task, 5)).status is ChargeStatus.UNCONFIRMED


async def test_an_answer_can_be_held_after_the_act() -> None:
    fake = FakeGateway()
    gate = fake.hold_next_answer("create_charge")
    task = asyncio.ensure_future(fake.create_charge(order(), key="k"))
    await asyncio.wait_for(gate.reached.wait(), 5)
    assert len(fake.charges) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(fake.charges) == 1


async def test_every_call_is_kept_with_its_arguments() -> None:
    fake = FakeGateway()
    charge = await fake.create_charge(order(), key="k1")
    await fake.cancel_charge(charge.reference, key="k2")
    assert [call.method for call in fake.calls] == ["create_charge", "cancel_charge"]
    assert fake.calls_of("cancel_charge")[0].arguments == {"reference": charge.reference, "key": "k2"}


async def test_a_key_of_another_request_tells_nothing() -> None:
    fake = FakeGateway()
    await fake.create_charge(order(), key="k")
    with pytest.raises(OutcomeUnknown):
        await fake.create_charge(order(description="another"), key="k")
    assert len(fake.charges) == 1


async def test_once_keys_are_forgotten_only_states_protect() -> None:
    fake = FakeGateway()
    charge = await fake.create_charge(order(), key="create")
    await fake.confirm_charge(charge.reference, return_url=None, key="confirm")
    refund = replace(refund_order(minor_units=400), charge_reference=charge.reference)
    await fake.refund_charge(refund, key="refund")
    fake.forget_keys()
    await fake.confirm_charge(charge.reference, return_url=None, key="confirm")
    await fake.refund_charge(refund, key="refund")
    assert fake.charges[charge.reference].captured == 1000
    assert len(fake.refunds) == 2


async def test_a_refund_may_fail_afterwards() -> None:
    fake = FakeGateway()
    charge = await fake.create_charge(order(), key="create")
    await fake.confirm_charge(charge.reference, return_url=None, key="confirm")
    made = await fake.refund_charge(replace(refund_order(), charge_reference=charge.reference), key="refund")
    failure = Failure("lost_or_stolen_card", "The card is gone.")
    fake.settle_refund(made.reference, RefundReportStatus.FAILED, failure)
    report = await fake.look_up_refund(made.reference)
    assert (report.status, report.failure) == (RefundReportStatus.FAILED, failure)
    # What failed to go back can be refunded again.
    whole = replace(refund_order(minor_units=1000), charge_reference=charge.reference)
    assert (await fake.refund_charge(whole, key="again")).status is RefundReportStatus.SUCCEEDED


async def test_a_charge_may_take_its_time() -> None:
    fake = FakeGateway()
    charge = await fake.create_charge(order(payment_method_id="pm_fake_processing"), key="create")
    report = await fake.confirm_charge(charge.reference, return_url=None, key="confirm")
    assert (report.status, report.captured) == (ChargeStatus.PROCESSING, 0)
    assert fake.settle(charge.reference).status is ChargeStatus.SUCCEEDED
    assert (await fake.look_up_charge(charge.reference)).captured == TEN_EUROS.minor_units
