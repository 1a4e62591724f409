"""Orphans: unconfirmed charges that no transaction goes on with are canceled, and nothing else is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.ids import NIL, TransactionId
from domain.messaging.webhook_events import EventState, EventSubject
from domain.payments.gateway import ChargeStatus, OutcomeUnknown, RejectionKind, RequestRejected
from domain.payments.orphans import KEYS_GONE, OrphanSweep
from domain.payments.transaction import Failure, Transaction, TransactionStatus
from domain.sweeps import SweepRun
from tests.support.acts import Acts, transaction_in
from tests.support.clock import START
from tests.support.fake_records import FakeRecords

UNKNOWN = OutcomeUnknown("no answer")
A_SECOND = timedelta(seconds=1)


async def sweep(acts: Acts, *, after: timedelta = KEYS_GONE + A_SECOND) -> dict[str, int]:
    """Run the sweep, so long after the charges were made, until it has no more to do; what it found in all."""
    orphans = OrphanSweep(
        units=acts.units, gateway=acts.gateway, records=FakeRecords(acts.gateway), outcomes=acts.outcomes
    )
    found: dict[str, int] = {}
    mark, more = None, True
    while more:
        result = await orphans(SweepRun(name="orphans", runs=1, started_at=START + after, mark=mark))
        mark, more = result.mark, result.more
        found |= result.found
    return found


def statuses(acts: Acts) -> list[ChargeStatus]:
    return [charge.status for charge in acts.gateway.charges.values()]


async def paid_with_an_orphan(acts: Acts) -> Transaction:
    """A payment whose first charge was made without an answer, and whose second one was made when the key had gone."""
    acts.gateway.lose_next_answer("create_charge")
    begun = transaction_in(await acts.pay(await acts.add_actor()))
    acts.age(timedelta(hours=25))
    await acts.recover()
    assert statuses(acts) == [ChargeStatus.UNCONFIRMED, ChargeStatus.SUCCEEDED]
    return await acts.now(begun.id)


async def test_an_orphan_is_canceled_and_its_payment_stays_as_it_is(acts: Acts) -> None:
    paid = await paid_with_an_orphan(acts)
    assert await sweep(acts) == {"canceled": 1}
    assert statuses(acts) == [ChargeStatus.CANCELED, ChargeStatus.SUCCEEDED]
    assert await acts.now(paid.id) == paid
    # What the processor tells of the cancellation alarms nobody.
    assert await acts.tell(EventSubject.CHARGE, "ch_fake_1") == [EventState.IGNORED]
    assert await sweep(acts) == {}


async def test_a_charge_whose_key_may_still_lead_to_it_is_left_alone(acts: Acts) -> None:
    await paid_with_an_orphan(acts)
    assert await sweep(acts, after=KEYS_GONE) == {}
    assert statuses(acts) == [ChargeStatus.UNCONFIRMED, ChargeStatus.SUCCEEDED]


async def test_a_charge_that_its_payment_still_waits_for_is_adopted(acts: Acts) -> None:
    acts.gateway.lose_next_answer("create_charge")
    begun = transaction_in(await acts.pay(await acts.add_actor()))
    acts.age(timedelta(hours=25))
    assert await sweep(acts) == {"adopted": 1}
    assert (await acts.now(begun.id)).processor_reference == "ch_fake_1"
    await acts.recover()
    assert statuses(acts) == [ChargeStatus.SUCCEEDED]
    assert (await acts.now(begun.id)).status is TransactionStatus.COMPLETED


async def test_a_charge_that_its_payment_goes_on_with_is_left_alone(acts: Acts) -> None:
    acts.gateway.fail_next("confirm_charge", UNKNOWN)
    await acts.pay(await acts.add_actor())
    assert await sweep(acts) == {"known": 1}
    assert statuses(acts) == [ChargeStatus.UNCONFIRMED]


async def test_an_orphan_of_a_payment_that_failed_without_it_is_canceled(acts: Acts) -> None:
    acts.gateway.lose_next_answer("create_charge")
    begun = transaction_in(await acts.pay(await acts.add_actor()))
    gone = RequestRejected(RejectionKind.PAYMENT_METHOD, Failure("resource_missing", "It is gone."))
    acts.gateway.fail_next("create_charge", gone)
    await acts.recover()
    assert await sweep(acts) == {"canceled": 1}
    assert (await acts.now(begun.id)).status is TransactionStatus.FAILED


async def test_what_is_not_in_our_books_is_left_alone(acts: Acts) -> None:
    await paid_with_an_orphan(acts)
    acts.gateway.falsify("ch_fake_1", transaction_id=TransactionId(NIL))
    assert await sweep(acts) == {"strays": 1}
    acts.gateway.falsify("ch_fake_1", transaction_id=None)
    assert await sweep(acts) == {}
    assert statuses(acts)[0] is ChargeStatus.UNCONFIRMED


async def test_money_is_never_canceled(acts: Acts) -> None:
    paid = await paid_with_an_orphan(acts)
    for status in set(ChargeStatus) - {ChargeStatus.UNCONFIRMED}:
        acts.gateway.falsify("ch_fake_1", status=status)
        assert await sweep(acts) == {}
    assert acts.gateway.calls_of("cancel_charge") == []
    assert await acts.now(paid.id) == paid


@pytest.mark.parametrize("error", [UNKNOWN, RequestRejected(RejectionKind.OTHER, Failure("busy", "No."))])
async def test_one_that_cannot_be_canceled_does_not_keep_the_others(acts: Acts, error: Exception) -> None:
    await paid_with_an_orphan(acts)
    other = acts.gateway.add_foreign_charge("ch_fake_1")
    acts.gateway.falsify(other, transaction_id=acts.gateway.charges["ch_fake_1"].transaction_id)
    acts.gateway.made_at[other] = acts.gateway.made_at["ch_fake_1"]
    acts.gateway.fail_next("cancel_charge", error)
    assert await sweep(acts) == {"canceled": 1, "not_canceled": 1}


async def test_a_charge_that_contradicts_its_payment_is_not_adopted(acts: Acts) -> None:
    acts.gateway.lose_next_answer("create_charge")
    begun = transaction_in(await acts.pay(await acts.add_actor()))
    acts.gateway.falsify("ch_fake_1", money=replace(begun.money, minor_units=1))
    assert await sweep(acts) == {"contradictions": 1}
    assert (await acts.now(begun.id)).processor_reference is None


async def test_each_stretch_of_time_is_read_once(acts: Acts) -> None:
    orphans = OrphanSweep(
        units=acts.units, gateway=acts.gateway, records=FakeRecords(acts.gateway), outcomes=acts.outcomes
    )
    run = SweepRun(name="orphans", runs=1, started_at=START + KEYS_GONE, mark=START)
    result = await orphans(run)
    assert (result.mark, result.more) == (START, False)
    result = await orphans(replace(run, started_at=START + KEYS_GONE + timedelta(hours=7)))
    assert (result.mark, result.more) == (START + timedelta(hours=6), True)
