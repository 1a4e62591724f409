"""Leases are renewed while work goes on, and no longer."""

import asyncio
from datetime import timedelta

import pytest

from domain.errors import Unavailable
from domain.leases import HEARTBEAT, LEASE, kept
from domain.ports import LeaseLost

OFTEN = timedelta(milliseconds=1)


class Renewals:
    """Counts renewals; `reached` is set at the one that is waited for."""

    def __init__(self, *outcomes: Exception | None, wait_for: int) -> None:
        self.number = 0
        self.reached = asyncio.Event()
        self._outcomes = list(outcomes)
        self._wait_for = wait_for

    async def __call__(self) -> None:
        self.number += 1
        if self.number == self._wait_for:
            self.reached.set()
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if outcome is not None:
            raise outcome


async def test_a_lease_is_renewed_for_as_long_as_the_work_goes_on() -> None:
    renewals = Renewals(wait_for=5)
    async with asyncio.timeout(60), kept(renewals, every=OFTEN):
        await renewals.reached.wait()
    after = renewals.number
    for _ in range(20):
        await asyncio.sleep(OFTEN.total_seconds())
    assert renewals.number == after


async def test_a_database_that_is_away_is_asked_again() -> None:
    renewals = Renewals(Unavailable(), Unavailable(), wait_for=3)
    async with asyncio.timeout(60), kept(renewals, every=OFTEN):
        await renewals.reached.wait()


async def test_a_lease_that_was_lost_is_not_renewed_any_more() -> None:
    renewals = Renewals(LeaseLost(), wait_for=1)
    async with asyncio.timeout(60), kept(renewals, every=OFTEN):
        await renewals.reached.wait()
        for _ in range(20):
            await asyncio.sleep(OFTEN.total_seconds())
    assert renewals.number == 1


async def test_quick_work_costs_no_renewal() -> None:
    renewals = Renewals(wait_for=1)
    async with kept(renewals):
        pass
    assert renewals.number == 0


async def test_a_renewal_that_is_on_its_way_ends_before_the_block_is_left() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def renew() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    async def work() -> None:
        async with kept(renew, every=OFTEN):
            await begun.wait()

    async with asyncio.timeout(60):
        task = asyncio.create_task(work())
        await begun.wait()
        await asyncio.sleep(0)
        assert not task.done()
        may_end.set()
        await task
    assert ended.is_set()


async def test_the_works_own_failure_is_what_is_seen() -> None:
    renewals = Renewals(wait_for=1)

    async def fail() -> None:
        async with kept(renewals, every=OFTEN):
            await renewals.reached.wait()
            raise ValueError("the work")

    with pytest.raises(ValueError, match="the work"):
        await fail()


def test_a_crashed_payment_has_half_a_minute_left_for_its_calls() -> None:
    """Within 30 s it is resolved: the worker looks each second, and one call may take its whole deadline of 12 s."""
    assert HEARTBEAT * 3 <= LEASE <= timedelta(seconds=30 - 1 - 12)
