from dataclasses import replace
from itertools import product
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.payments.attempt import AttemptKind
from domain.payments.transaction import LEGAL_EDGES, TransactionStatus
from domain.ports import EmailTaken
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import SequentialIds
from tests.support.database import rows
from tests.support.records import WAYS, add_transaction, attempt, audit_entry, refund, transaction, user

PAIRS = [(before, after) for before, after in product(TransactionStatus, TransactionStatus) if before is not after]


async def test_the_database_holds_the_same_edges_as_the_domain(engine: AsyncEngine) -> None:
    found = await rows(engine, "SELECT from_status, to_status FROM transaction_edges")
    assert set(found) == {(before.value, after.value) for before, after in LEGAL_EDGES}


async def test_every_edge_is_taken_or_refused(engine: AsyncEngine, units: SqlUnitsOfWork) -> None:
    ids = SequentialIds()
    payer = user(ids.new())
    async with units.begin() as uow:
        await uow.users.add(payer)
    for before, after in PAIRS:
        begun = transaction(ids.new(), payer.id, status=before)
        begun = await add_transaction(units, begun)
        if (before, after) in LEGAL_EDGES:
            async with units.begin() as uow:
                assert (await uow.transactions.save(replace(begun, status=after))).status is after
        else:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="may not go from"):
                async with units.begin() as uow:
                    await uow.transactions.save(replace(begun, status=after))
            # Past every repository as well.
            with pytest.raises(exc.IntegrityError, match="may not go from"):
                await rows(
                    engine, "UPDATE transactions SET status = :s WHERE id = :id RETURNING 1", s=after, id=begun.id
                )
            stored = await rows(engine, "SELECT status FROM transactions WHERE id = :id", id=begun.id)
            assert stored == [(before.value,)]


@pytest.mark.parametrize("status", [status for status in TransactionStatus if WAYS[status]])
async def test_a_transaction_begins_as_pending(
    engine: AsyncEngine, units: SqlUnitsOfWork, status: TransactionStatus
) -> None:
    payer = user(UUID(int=1))
    async with units.begin() as uow:
        await uow.users.add(payer)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="must begin as PENDING"):
        async with units.begin() as uow:
            await uow.transactions.add(transaction(UUID(int=2), payer.id, status=status))
    assert await rows(engine, "SELECT 1 FROM transactions") == []


@pytest.mark.parametrize(
    ("table", "change", "constraint"),
    [
        ("transactions", "amount = 0", "ck_transactions_amount"),
        ("transactions", "amount = -1", "ck_transactions_amount"),
        ("transactions", "captured = amount + 1", "ck_transactions_captured"),
        ("transactions", "captured = -1, refund_reserved = -1, refunded = -1", "ck_transactions_captured"),
        ("transactions", "refunded = refund_reserved + 1", "ck_transactions_refunded"),
        ("transactions", "refunded = -1", "ck_transactions_refunded"),
        ("transactions", "refund_reserved = captured + 1", "ck_transactions_refund_reserved"),
        ("transactions", "disputed = captured + 1", "ck_transactions_disputed"),
        ("transactions", "disputed = -1", "ck_transactions_disputed"),
        ("refunds", "amount = 0", "ck_refunds_amount"),
        ("refunds", "status = 'LOST'", "ck_refunds_status"),
        ("attempts", "kind = 'GUESS'", "ck_attempts_kind"),
        ("attempts", "state = 'MAYBE'", "ck_attempts_state"),
        ("attempts", "refund_id = NULL", "ck_attempts_refund_id"),
        ("attempts", "kind = 'VOID'", "ck_attempts_refund_id"),
        ("users", "role = 'ROOT'", "ck_users_role"),
        ("webhook_events", "state = 'LOST'", "ck_webhook_events_state"),
    ],
)
async def test_every_check_refuses_what_it_is_there_for(
    engine: AsyncEngine, units: SqlUnitsOfWork, table: str, change: str, constraint: str
) -> None:
    ids = SequentialIds()
    payer = user(ids.new())
    async with units.begin() as uow:
        await uow.users.add(payer)
    paid = await add_transaction(units, transaction(ids.new(), payer.id, status=TransactionStatus.COMPLETED))
    async with units.begin() as uow:
        given = refund(ids.new(), paid)
        await uow.refunds.add(given)
        await uow.attempts.add(attempt(ids.new(), paid.id, AttemptKind.REFUND, refund_id=given.id))
        await uow.audit.append(audit_entry(ids.new(), paid))
    await rows(
        engine,
        "INSERT INTO webhook_events (id, type, subject, live, body, state, tries, failures, created_at, received_at,"
        " next_try_at) VALUES ('evt', 't', 'OTHER', false, '', 'RECEIVED', 0, 0, now(), now(), now()) RETURNING 1",
    )
    with pytest.raises(exc.IntegrityError) as caught:
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE {table} SET {change}"))  # noqa: S608  the test's own text
    assert constraint in str(caught.value.orig)


@pytest.mark.parametrize(
    ("action", "actor_kind", "constraint"),
    [
        ("paid", "GHOST", "ck_audit_entries_actor_kind"),
        ("two\nlines", "SYSTEM", "ck_audit_entries_action"),
        ("", "SYSTEM", "ck_audit_entries_action"),
    ],
)
async def test_the_checks_of_the_audit_log_refuse_what_they_are_there_for(
    engine: AsyncEngine, action: str, actor_kind: str, constraint: str
) -> None:
    insert = (
        "INSERT INTO audit_entries (id, action, actor_kind, details, at)"
        " VALUES (gen_random_uuid(), :action, :actor_kind, '{}', now()) RETURNING 1"
    )
    with pytest.raises(exc.IntegrityError) as caught:
        await rows(engine, insert, action=action, actor_kind=actor_kind)
    assert constraint in str(caught.value.orig)
    assert await rows(engine, "SELECT 1 FROM audit_entries UNION ALL SELECT 1 FROM audit_links") == []


async def test_two_transactions_cannot_share_a_charge(units: SqlUnitsOfWork) -> None:
    payer = user(UUID(int=1))
    async with units.begin() as uow:
        await uow.users.add(payer)
        await uow.transactions.add(transaction(UUID(int=2), payer.id, processor_reference="ch_1"))
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_transactions_processor_reference"):
        async with units.begin() as uow:
            await uow.transactions.add(transaction(UUID(int=3), payer.id, processor_reference="ch_1"))


async def test_an_address_belongs_to_one_user_in_any_case(units: SqlUnitsOfWork) -> None:
    async with units.begin() as uow:
        await uow.users.add(user(UUID(int=1), email="Ada@Example.test"))
    with pytest.raises(EmailTaken):
        async with units.begin() as uow:
            await uow.users.add(user(UUID(int=2), email="aDA@example.TEST"))
    async with units.begin() as uow:
        found = await uow.users.get_by_email("ADA@EXAMPLE.TEST")
        assert found == user(UUID(int=1), email="Ada@Example.test")
        assert await uow.users.get_by_email("ada@example") is None
