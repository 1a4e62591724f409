"""Transactions put straight into the tables: many of them, with times and amounts of a test's choice."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from domain.audit import AuditAction
from domain.ids import IdKind, encode
from domain.money import Money
from domain.payments.refund import RefundStatus
from domain.payments.transaction import Transaction, TransactionStatus
from persistence.unit_of_work import SqlUnitOfWork
from tests.api.application import Florin, Person
from tests.support.clock import START
from tests.support.records import TEN_DOLLARS, add_transaction, audit_entry, refund, transaction


def global_id(record: Transaction) -> str:
    return encode(IdKind.TRANSACTION, record.id)


async def store(
    florin: Florin,
    payer: Person,
    *,
    money: Money = TEN_DOLLARS,
    at: datetime = START,
    status: TransactionStatus = TransactionStatus.PENDING,
    description: str | None = None,
    reference: str | None = None,
) -> Transaction:
    """One transaction."""
    record = transaction(
        florin.parts.ids.new(),
        payer.user.id,
        money=money,
        created_at=at,
        status=status,
        description=description,
        processor_reference=reference,
    )
    return await add_transaction(florin.parts.units, record)


async def store_many(florin: Florin, payers: Sequence[Person], number: int) -> list[Transaction]:
    """So many transactions, a second apart, each with a full audit log by several people and some refunds."""
    stored = []
    async with florin.parts.units.begin() as uow:
        for n in range(number):
            record = transaction(
                florin.parts.ids.new(), payers[n % len(payers)].user.id, created_at=START + timedelta(seconds=n)
            )
            await uow.transactions.add(record)
            await _add_children(florin, uow, record)
            stored.append(record)
    return stored


async def _add_children(florin: Florin, uow: SqlUnitOfWork, record: Transaction) -> None:
    new = florin.parts.ids.new
    people = (florin.ada, florin.alan, florin.grace, florin.margaret)
    for n in range(7):
        entry = audit_entry(new(), record, AuditAction.REFUND_REQUESTED)
        await uow.audit.append(replace(entry, actor_id=people[n % len(people)].user.id))
    for n in range(6):
        at = START + timedelta(minutes=n)
        await uow.refunds.add(refund(new(), record, minor_units=n + 1, status=RefundStatus.PENDING, created_at=at))
