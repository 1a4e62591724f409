"""Attempts: what their repository promises when several processes use it at the same moment."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import UserId
from domain.payments.attempt import DEATHS_MAX, Attempt, AttemptKind, AttemptState, AttemptStep
from domain.payments.transaction import Transaction
from domain.ports import LeaseLost
from persistence.engine import working
from persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork
from tests.support.at_once import at_once
from tests.support.clock import SequentialIds
from tests.support.database import age_attempts, make_due, rows
from tests.support.records import add_charges, attempt


async def test_an_attempt_that_its_caller_holds_is_not_due(
    units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    await add_charges(units, ids, payer, 1)
    async with units.begin() as uow:
        assert await uow.attempts.claim_due(10, DEATHS_MAX) == []


async def test_a_lease_ends_by_the_databases_clock(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    (held,) = await add_charges(units, ids, payer, 1)
    passed = "UPDATE attempts SET {} = clock_timestamp() - interval '1 ms' RETURNING 1"
    await rows(engine, passed.format("next_check_at"))
    async with units.begin() as uow:
        assert await uow.attempts.claim_due(10, DEATHS_MAX) == []
    await rows(engine, passed.format("lease_until"))
    async with units.begin() as uow:
        assert await uow.attempts.claim_due(10, DEATHS_MAX) == [replace(held, tries=2)]
    async with units.begin() as uow:
        assert await uow.attempts.claim_due(10, DEATHS_MAX) == []


async def test_workers_at_once_claim_each_attempt_once(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    added = await add_charges(units, ids, payer, 30)
    await make_due(engine)
    claims = await at_once(units, 8, lambda uow: uow.attempts.claim_due(3, DEATHS_MAX))
    assert all(len(claim) <= 3 for claim in claims)
    while left := await at_once(units, 4, lambda uow: uow.attempts.claim_due(3, DEATHS_MAX)):
        claims += left
        if not any(left):
            break
    claimed = [one for claim in claims for one in claim]
    assert sorted(one.id for one in claimed) == [one.id for one in added]
    assert {one.tries for one in claimed} == {2}


async def test_what_is_claimed_together_is_in_the_order_of_time(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    added = await add_charges(units, ids, payer, 9)
    # A row that is written anew stands last in its table.
    for one in reversed(added):
        await make_due(engine, one)
    async with units.begin() as uow:
        claimed = await uow.attempts.claim_due(10, DEATHS_MAX)
    assert [one.id for one in claimed] == [one.id for one in added]


async def test_a_claim_keeps_to_its_limit_whatever_plan_the_database_chooses(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    await add_charges(units, ids, payer, 20)
    await make_due(engine)
    # Left to itself it chooses by its statistics; a nested loop runs its inner side once for each outer row.
    async with working(engine) as connection:
        await connection.fetch(text("ANALYZE attempts"))
        for plan in ("hashjoin", "mergejoin", "material", "hashagg", "sort", "indexscan", "bitmapscan"):
            await connection.fetch(text(f"SET LOCAL enable_{plan} = off"))
        assert len(await SqlUnitOfWork(connection).attempts.claim_due(2, DEATHS_MAX)) == 2


async def test_who_lost_the_lease_can_change_nothing(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    (slow,) = await add_charges(units, ids, payer, 1)
    await make_due(engine)
    async with units.begin() as uow:
        (quick,) = await uow.attempts.claim_due(1, DEATHS_MAX)
    attempts_of_the_slow: list[Callable[[SqlUnitOfWork], Awaitable[None]]] = [
        lambda uow: uow.attempts.advance(slow, AttemptStep.CONFIRM),
        lambda uow: uow.attempts.defer(slow, timedelta(0), None),
        lambda uow: uow.attempts.mark_manual(slow, "no idea"),
    ]
    before = await rows(engine, "SELECT * FROM attempts")
    for act in attempts_of_the_slow:
        with pytest.raises(LeaseLost):
            async with units.begin() as uow:
                await act(uow)
    assert await rows(engine, "SELECT * FROM attempts") == before
    async with units.begin() as uow:
        await uow.attempts.advance(quick, AttemptStep.CONFIRM)
        await uow.attempts.finish(quick.id)
        # What another door has finished stays finished.
        with pytest.raises(LeaseLost):
            await uow.attempts.defer(quick, timedelta(0), None)


async def test_an_attempt_left_to_a_person_is_not_taken_up_but_counts_as_open(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    (left,) = await add_charges(units, ids, payer, 1)
    async with units.begin() as uow:
        await uow.attempts.mark_manual(left, "The processor lists no such refund.")
    await rows(engine, "UPDATE attempts SET next_check_at = now() - interval '1 day' RETURNING 1")
    async with units.begin() as uow:
        assert await uow.attempts.claim_due(10, DEATHS_MAX) == []
        assert await uow.attempts.is_open(left.transaction_id, AttemptKind.CHARGE)
        await uow.attempts.finish_all(left.transaction_id, frozenset({AttemptKind.CHARGE}))
        assert not await uow.attempts.is_open(left.transaction_id, AttemptKind.CHARGE)
    assert await rows(engine, "SELECT state, reason FROM attempts") == [
        (AttemptState.DONE.value, "The processor lists no such refund.")
    ]


async def test_a_renewed_lease_holds_and_tells_how_old_the_keys_are(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    (held,) = await add_charges(units, ids, payer, 1)
    await age_attempts(engine, timedelta(hours=23))
    await rows(engine, "UPDATE attempts SET lease_until = now() - interval '1 s', next_check_at = now() RETURNING 1")
    async with units.begin() as uow:
        assert timedelta(hours=23) < await uow.attempts.renew(held) < timedelta(hours=24)
        assert await uow.attempts.claim_due(10, DEATHS_MAX) == []
        await uow.attempts.defer(held, timedelta(0), None)
    # One that was on its way when the attempt was deferred holds nothing.
    async with units.begin() as uow:
        with pytest.raises(LeaseLost):
            await uow.attempts.renew(held)
        (claimed,) = await uow.attempts.claim_due(10, DEATHS_MAX)
        assert timedelta(hours=23) < claimed.key_age < timedelta(hours=24)


async def test_what_nobody_reports_of_is_parked_after_some_claims_in_a_row(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    (deadly,) = await add_charges(units, ids, payer, 1)

    async def claim() -> Attempt:
        await make_due(engine)
        async with units.begin() as uow:
            (claimed,) = await uow.attempts.claim_due(10, 3)
        return claimed

    # A report in between begins the count anew: it did not kill that one.
    for _ in range(2):
        claimed = await claim()
    async with units.begin() as uow:
        await uow.attempts.defer(claimed, timedelta(0), "no answer")
    states = [(await claim()).state for _ in range(4)]
    assert states == [AttemptState.OPEN] * 3 + [AttemptState.PARKED]
    await make_due(engine)
    async with units.begin() as uow:
        assert await uow.attempts.claim_due(10, 3) == []
        assert await uow.attempts.is_open(deadly.transaction_id, AttemptKind.CHARGE)
    assert await rows(engine, "SELECT state, reason, lease_until FROM attempts") == [
        ("PARKED", "Whoever worked on it died without a word, 3 times in a row.", None)
    ]


async def test_those_who_died_together_are_taken_up_apart(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    await add_charges(units, ids, payer, 20)
    await make_due(engine)
    async with units.begin() as uow:
        await uow.attempts.claim_due(20, DEATHS_MAX)
    ((different, too_early),) = await rows(
        engine,
        "SELECT count(DISTINCT next_check_at - lease_until), count(*) FILTER (WHERE next_check_at < lease_until)"
        " FROM attempts",
    )
    assert (different, too_early) == (20, 0)


async def test_since_when_an_outcome_is_unknown(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    await add_charges(units, ids, payer, 1)
    unknown = "SELECT unknown_since IS NOT NULL, unknown_since = last_checked_at, reason FROM attempts"
    assert await rows(engine, unknown) == [(False, None, None)]

    async def look(unknown_because: str | None) -> None:
        await make_due(engine)
        async with units.begin() as uow:
            (claimed,) = await uow.attempts.claim_due(1, DEATHS_MAX)
            await uow.attempts.defer(claimed, timedelta(0), unknown_because)

    # The first claim, a request's, ended without a word; the worker's look brought an answer.
    await look(None)
    assert await rows(engine, unknown) == [(False, None, None)]
    await look("no answer")
    assert await rows(engine, unknown) == [(True, True, "no answer")]
    await look("still none")
    assert await rows(engine, unknown) == [(True, False, "still none")]
    await look(None)
    assert await rows(engine, unknown) == [(False, None, None)]


async def test_a_transaction_has_one_open_capture_or_void(
    units: SqlUnitsOfWork, paid: Transaction, ids: SequentialIds
) -> None:
    kinds = iter([AttemptKind.CAPTURE, AttemptKind.VOID] * 5)

    async def add(uow: SqlUnitOfWork) -> bool:
        return await uow.attempts.add_only(attempt(ids.new(), paid.id, next(kinds)))

    assert sum(await at_once(units, 10, add)) == 1
    async with units.begin() as uow:
        await uow.attempts.finish_all(paid.id, frozenset({AttemptKind.CAPTURE, AttemptKind.VOID}))
        assert await uow.attempts.add_only(attempt(ids.new(), paid.id, AttemptKind.VOID))
        assert not await uow.attempts.add_only(attempt(ids.new(), paid.id, AttemptKind.CAPTURE))
