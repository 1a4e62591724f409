"""Idempotency keys: one of those who claim a key at the same moment wins."""

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Unavailable
from domain.idempotency import KeyedAct, KeyUse, first_use
from domain.ids import TransactionId, UserId
from domain.payments.attempt import DEATHS_MAX
from persistence.engine import open_engine
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.at_once import at_once
from tests.support.clock import SequentialIds
from tests.support.database import make_due, patient_config, rows
from tests.support.records import add_charges, user


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
