"""What the repositories promise when several processes use them at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import EVERYTHING, Scope
from domain.errors import ErrorCode, Unavailable
from domain.idempotency import KeyedAct, KeyUse, first_use
from domain.ids import TransactionId, UserId
from domain.messaging.webhook_events import EventState, EventSubject
from domain.money import Money
from domain.payments.attempt import DEATHS_MAX, Attempt, AttemptKind, AttemptState, AttemptStep
from domain.payments.refund import RefundStatus
from domain.payments.transaction import Failure, NextAction, NextActionType, Transaction, TransactionStatus
from domain.ports import LeaseLost, StaleVersion
from persistence.engine import DatabaseConfig, open_engine
from persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork
from persistence.wakeups import ListenForWakeups, RingByNotify
from tests.api.test_statement_counts import counted
from tests.support.acts import Acts
from tests.support.clock import START, SequentialIds
from tests.support.database import age_attempts, make_due, patient_config, rows
from tests.support.records import add_transaction, attempt, refund, transaction, user
from tests.support.waiting import until

T = TypeVar("T")
PAYER = user(UUID(int=1 << 100))


@pytest.fixture
def ids() -> SequentialIds:
    return SequentialIds()


@pytest.fixture
async def payer(units: SqlUnitsOfWork) -> UserId:
    async with units.begin() as uow:
        await uow.users.add(PAYER)
    return PAYER.id


@pytest.fixture
async def paid(units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds) -> Transaction:
    wanted = transaction(ids.new(), payer, status=TransactionStatus.COMPLETED, processor_reference="ch_1")
    return await add_transaction(units, wanted)


async def at_once(units: SqlUnitsOfWork, times: int, act: Callable[[SqlUnitOfWork], Awaitable[T]]) -> list[T]:
    """Do it so many times, each on a connection of its own, all of them open before the first begins."""
    barrier = asyncio.Barrier(times)

    async def once() -> T:
        async with units.begin() as uow:
            await uow.users.get(PAYER.id)
            await barrier.wait()
            return await act(uow)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once()) for _ in range(times)]
    return [task.result() for task in tasks]


async def test_a_transaction_comes_back_as_it_was_stored(
    units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    plain = transaction(ids.new(), payer, description="Tea ☕")
    full = replace(
        plain,
        id=TransactionId(ids.new()),
        metadata={"a": [1, {"b": None}], "ключ": "😀"},
        return_url="https://shop.test/back",
        fee=Money(59, plain.money.currency),
        processor_reference="ch_2",
        processor_status="requires_action",
        failure=Failure("card_declined", "No.", "lost_card", retryable=True, refusal=ErrorCode.PROCESSOR_REFUSED),
        next_action=NextAction(NextActionType.REDIRECT, "https://processor.test/", "secret"),
    )
    bare = replace(plain, id=TransactionId(ids.new()), payment_method=None)
    async with units.begin() as uow:
        for one in (plain, full, bare):
            await uow.transactions.add(one)
    async with units.begin() as uow:
        assert [await uow.transactions.get(one.id) for one in (plain, full, bare)] == [plain, full, bare]
        assert await uow.transactions.get_by_reference("ch_2") == full
        assert await uow.transactions.lock_by_reference("ch_2") == full
        assert await uow.transactions.get_by_reference("ch_3") is None
        assert await uow.transactions.lock(full.id, Scope(UserId(ids.new()))) is None
        assert await uow.transactions.lock(full.id, Scope(payer)) == full


async def test_a_refund_comes_back_as_it_was_stored(
    units: SqlUnitsOfWork, paid: Transaction, ids: SequentialIds
) -> None:
    given = refund(ids.new(), paid)
    failed = replace(
        given, status=RefundStatus.FAILED, processor_reference="re_1", failure=Failure("expired", "The card expired.")
    )
    async with units.begin() as uow:
        await uow.refunds.add(given)
        assert await uow.refunds.get(given.id) == given
        await uow.refunds.save(failed)
    async with units.begin() as uow:
        assert await uow.refunds.get(given.id) == failed
        assert await uow.refunds.get_by_reference("re_1") == failed
        assert await uow.refunds.get_by_reference("re_2") is None


async def test_a_change_of_an_old_version_is_refused(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async with units.begin() as uow:
        newer = await uow.transactions.save(replace(paid, processor_status="succeeded"))
    assert newer.version == paid.version + 1
    with pytest.raises(StaleVersion):
        async with units.begin() as uow:
            await uow.transactions.save(replace(paid, processor_status="lost"))
    async with units.begin() as uow:
        assert await uow.transactions.get(paid.id) == newer


async def test_of_changes_at_once_one_is_made(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async def save(uow: SqlUnitOfWork) -> bool:
        try:
            await uow.transactions.save(replace(paid, processor_status="succeeded"))
        except StaleVersion:
            return False
        return True

    assert sorted(await at_once(units, 10, save)) == [False] * 9 + [True]


async def test_a_reservation_makes_what_was_read_before_stale(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async with units.begin() as uow:
        assert await uow.transactions.reserve_refund(paid.id, 1)
        with pytest.raises(StaleVersion):
            await uow.transactions.save(paid)


@pytest.mark.parametrize(("share", "granted"), [(100, 10), (300, 3), (1000, 1), (1001, 0)])
async def test_reservations_at_once_never_exceed_what_was_captured(
    units: SqlUnitsOfWork, paid: Transaction, share: int, granted: int
) -> None:
    outcomes = await at_once(units, 20, lambda uow: uow.transactions.reserve_refund(paid.id, share))
    assert sum(outcomes) == granted
    async with units.begin() as uow:
        after = await uow.transactions.get(paid.id)
    assert after is not None
    assert after.refund_reserved == granted * share <= after.captured


async def test_disputed_money_cannot_be_reserved(units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds) -> None:
    wanted = transaction(ids.new(), payer, status=TransactionStatus.COMPLETED, disputed=400)
    disputed = await add_transaction(units, wanted)
    async with units.begin() as uow:
        assert not await uow.transactions.reserve_refund(disputed.id, 601)
        assert await uow.transactions.reserve_refund(disputed.id, 600)


async def add_charges(units: SqlUnitsOfWork, ids: SequentialIds, payer: UserId, number: int) -> list[Attempt]:
    added = []
    async with units.begin() as uow:
        for _ in range(number):
            begun = transaction(ids.new(), payer)
            await uow.transactions.add(begun)
            added.append(attempt(ids.new(), begun.id))
            await uow.attempts.add(added[-1])
    return added


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


async def test_a_claim_keeps_to_its_limit_whatever_plan_the_database_chooses(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    await add_charges(units, ids, payer, 20)
    await make_due(engine)
    # Left to itself it chooses by its statistics; a nested loop runs its inner side once for each outer row.
    async with engine.begin() as connection:
        await connection.exec_driver_sql("ANALYZE attempts")
        for plan in ("hashjoin", "mergejoin", "material", "hashagg", "sort", "indexscan", "bitmapscan"):
            await connection.exec_driver_sql(f"SET LOCAL enable_{plan} = off")
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


async def test_an_event_that_is_held_on_to_is_not_due(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, acts: Acts
) -> None:
    event = acts.event("evt_1", EventSubject.CHARGE, "ch_1")
    async with units.begin() as uow:
        await uow.webhook_events.store(event, START)
        await uow.webhook_events.claim_due(1)
    await make_due(engine)
    async with units.begin() as uow:
        await uow.webhook_events.renew([event])
        assert await uow.webhook_events.claim_due(1) == []
        await uow.webhook_events.settle([event], EventState.APPLIED, None, transaction_id=None, at=START)
    before = await rows(engine, "SELECT * FROM webhook_events")
    async with units.begin() as uow:
        await uow.webhook_events.renew([event])
    assert await rows(engine, "SELECT * FROM webhook_events") == before


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


def use(payer: UserId, ids: SequentialIds, key: str = "k", digest: bytes = b"same") -> KeyUse:
    return KeyUse(
        actor_id=payer,
        act=KeyedAct.CREATE_PAYMENT,
        key=key,
        fingerprint=digest,
        transaction_id=TransactionId(ids.new()),
    )


async def test_of_fifty_that_claim_a_key_one_wins(
    app_database_url: str, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    engine = open_engine(replace(patient_config(app_database_url), pool_size=50))
    outcomes = await at_once(SqlUnitsOfWork(engine), 50, lambda uow: first_use(uow.keys, use(payer, ids)))
    await engine.dispose()
    assert outcomes.count(None) == 1
    async with units.begin() as uow:
        stored = await uow.keys.find(payer, KeyedAct.CREATE_PAYMENT, "k")
    assert stored is not None
    assert {outcome.transaction_id for outcome in outcomes if outcome is not None} == {stored.transaction_id}


async def test_a_key_that_was_rolled_back_is_free_again(
    units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:

    async def claim_and_break_off() -> None:
        async with units.begin() as uow:
            assert await first_use(uow.keys, use(payer, ids)) is None
            raise Unavailable

    with pytest.raises(Unavailable):
        await claim_and_break_off()
    async with units.begin() as uow:
        assert await first_use(uow.keys, use(payer, ids, digest=b"other")) is None


async def test_keys_of_others_and_of_other_acts_are_other_keys(
    units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    other = user(ids.new())
    async with units.begin() as uow:
        await uow.users.add(other)
        first = use(payer, ids)
        assert await uow.keys.claim(first)
        assert not await uow.keys.claim(first)
        assert await uow.keys.claim(replace(first, actor_id=other.id))
        assert await uow.keys.claim(replace(first, act=KeyedAct.REFUND))
        assert await uow.keys.claim(replace(first, key="K"))
        assert await uow.keys.find(other.id, KeyedAct.REFUND, "k") is None


async def test_the_first_request_counts_as_running_for_one_lease(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds
) -> None:
    async def running() -> bool:
        async with units.begin() as uow:
            found = await uow.keys.find(payer, KeyedAct.CREATE_PAYMENT, "k")
        assert found is not None
        return found.running

    (charge,) = await add_charges(units, ids, payer, 1)
    async with units.begin() as uow:
        await uow.keys.claim(replace(use(payer, ids), transaction_id=charge.transaction_id))
    assert await running()
    await rows(engine, "UPDATE attempts SET lease_until = clock_timestamp() - interval '1 ms' RETURNING 1")
    assert not await running()
    await make_due(engine)
    async with units.begin() as uow:
        assert await uow.attempts.claim_due(1, DEATHS_MAX) != []
    assert not await running()


async def test_an_event_is_stored_once(units: SqlUnitsOfWork, payer: UserId, acts: Acts) -> None:
    event = acts.event("evt_1", EventSubject.CHARGE, "ch_1")
    outcomes = await at_once(units, 10, lambda uow: uow.webhook_events.store(event, START))
    assert sorted(outcomes) == [False] * 9 + [True]
    async with units.begin() as uow:
        assert not await uow.webhook_events.store(replace(event, body=b"other"), START)
        assert await uow.webhook_events.claim_due(10) == [replace(event, tries=1, failures=1)]


async def test_events_are_claimed_once_and_settled_for_good(
    engine: AsyncEngine, units: SqlUnitsOfWork, payer: UserId, acts: Acts
) -> None:
    events = [acts.event(f"evt_{number:02}", EventSubject.CHARGE, None) for number in range(12)]
    async with units.begin() as uow:
        for event in events:
            await uow.webhook_events.store(event, START)
    claims = await at_once(units, 6, lambda uow: uow.webhook_events.claim_due(2))
    assert all(len(claim) <= 2 for claim in claims)
    claimed = [event.id for claim in claims for event in claim]
    assert len(claimed) == len(set(claimed))
    async with units.begin() as uow:
        settle, defer = uow.webhook_events.settle, uow.webhook_events.defer
        await settle(events[:1], EventState.APPLIED, None, transaction_id=None, at=START)
        # Settled is settled: neither a late pause nor another verdict undoes it.
        await defer(events[:2], timedelta(hours=1), "busy", failed=False)
        await settle(events[:1], EventState.QUARANTINED, "late", transaction_id=None, at=START)
    found = await rows(engine, "SELECT id, state, reason FROM webhook_events WHERE id < 'evt_02' ORDER BY id")
    assert found == [("evt_00", "APPLIED", None), ("evt_01", "RECEIVED", "busy")]
    async with units.begin() as uow:
        assert not {"evt_00", "evt_01"} & {event.id for event in await uow.webhook_events.claim_due(100)}


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
async def test_who_listens_hears_the_bell(app_database_url: str, engine: AsyncEngine, scheme: str) -> None:
    url = app_database_url.replace("postgresql", scheme, 1)
    async with ListenForWakeups(DatabaseConfig(url=url, connect_timeout_seconds=60)) as wakeups, asyncio.timeout(60):
        listening = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'"
        await until(lambda: rows(engine, listening))
        bell = RingByNotify(engine)
        waiting = asyncio.create_task(wakeups.wait())
        bell.ring()
        await waiting
        # One that comes while nobody waits is not lost.
        bell.ring()
        await bell.close()
        await wakeups.wait()


async def test_many_rings_at_once_are_two_statements(engine: AsyncEngine) -> None:
    bell = RingByNotify(engine)
    with counted(engine) as statements:
        for _ in range(10):
            bell.ring()
        await asyncio.sleep(0)
        for _ in range(10):
            bell.ring()
        await bell.close()
    assert len(statements) == 2


async def test_a_bell_whose_database_is_away_is_silent_and_rings_again_later() -> None:
    away = open_engine(DatabaseConfig(url="postgresql://nobody@127.0.0.1:1/none", connect_timeout_seconds=1))
    bell = RingByNotify(away)
    for _ in range(2):
        bell.ring()
        await bell.close()
    await away.dispose()


async def test_who_cannot_get_a_connection_is_told_so(app_database_url: str, engine: AsyncEngine) -> None:
    small = open_engine(replace(patient_config(app_database_url), pool_size=1, pool_timeout_seconds=0.01))
    units = SqlUnitsOfWork(small)
    async with units.begin():
        with pytest.raises(Unavailable):
            async with units.begin():
                raise AssertionError("there was no second connection")
    await small.dispose()


async def test_a_database_that_ends_the_connection_is_unavailable_and_keeps_nothing(
    engine: AsyncEngine, units: SqlUnitsOfWork
) -> None:

    async def lose_the_connection() -> None:
        async with engine.connect() as watcher, units.begin() as uow:
            await uow.users.add(PAYER)
            await watcher.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE state = 'idle in transaction' AND datname = current_database() AND pid <> pg_backend_pid()"
            )
            await uow.users.get(PAYER.id)

    with pytest.raises(Unavailable):
        await lose_the_connection()
    async with units.begin() as uow:
        assert await uow.users.get(PAYER.id) is None


async def test_a_lock_is_waited_for(units: SqlUnitsOfWork, paid: Transaction) -> None:
    async with units.begin() as uow:
        assert await uow.transactions.lock(paid.id, EVERYTHING) is not None

        async def second() -> Transaction | None:
            async with units.begin() as other:
                return await other.transactions.lock(paid.id, EVERYTHING)

        waiting = asyncio.create_task(second())
        newer = await uow.transactions.save(replace(paid, processor_status="changed"))
    assert await waiting == newer
