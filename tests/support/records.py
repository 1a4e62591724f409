"""Records to fill a database with: every field has a plain value until a test says otherwise."""

from dataclasses import replace
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from domain.access import Actor, ActorKind, Role
from domain.audit import AuditAction, AuditEntry
from domain.currencies import Currency
from domain.identity.users import User
from domain.ids import AttemptId, AuditEntryId, RefundId, TransactionId, UserId
from domain.money import Money
from domain.payments.attempt import Attempt, AttemptKind, AttemptStep
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import (
    CAPTURED,
    CaptureMethod,
    PaymentMethodSummary,
    Transaction,
    TransactionStatus,
)
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import START, SequentialIds

TEN_DOLLARS = Money(1000, Currency.USD)

# The way to each status from PENDING, where every transaction begins.
WAYS: dict[TransactionStatus, tuple[TransactionStatus, ...]] = {
    TransactionStatus.PENDING: (),
    TransactionStatus.REQUIRES_ACTION: (TransactionStatus.REQUIRES_ACTION,),
    TransactionStatus.AUTHORIZED: (TransactionStatus.AUTHORIZED,),
    TransactionStatus.COMPLETED: (TransactionStatus.COMPLETED,),
    TransactionStatus.PARTIALLY_REFUNDED: (TransactionStatus.COMPLETED, TransactionStatus.PARTIALLY_REFUNDED),
    TransactionStatus.REFUNDED: (TransactionStatus.COMPLETED, TransactionStatus.REFUNDED),
    TransactionStatus.FAILED: (TransactionStatus.FAILED,),
    TransactionStatus.CANCELED: (TransactionStatus.CANCELED,),
}


class TransactionFields(TypedDict, total=False):
    """What a test may say of a transaction."""

    money: Money
    capture_method: CaptureMethod
    payment_method_id: str
    description: str | None
    processor_reference: str | None
    processor_status: str | None
    captured: int
    refunded: int
    refund_reserved: int
    disputed: int
    created_at: datetime
    status: TransactionStatus


def user(new_id: UUID, *, role: Role = Role.CUSTOMER, email: str | None = None) -> User:
    return User(
        id=UserId(new_id), email=email or f"{new_id.hex}@example.test", name="Ada Example", role=role, created_at=START
    )


def actor(of: User) -> Actor:
    return Actor(user_id=of.id, role=of.role)


def transaction(new_id: UUID, user_id: UserId, **fields: Unpack[TransactionFields]) -> Transaction:
    """A transaction over ten dollars; captured in full where its status says that money was taken."""
    status = fields.get("status", TransactionStatus.PENDING)
    money = fields.get("money", TEN_DOLLARS)
    return Transaction(
        id=TransactionId(new_id),
        user_id=user_id,
        status=status,
        money=money,
        capture_method=fields.get("capture_method", CaptureMethod.AUTOMATIC),
        payment_method_id=fields.get("payment_method_id", "pm_card_visa"),
        payment_method=PaymentMethodSummary("visa", "4242", 12, 2040),
        description=fields.get("description"),
        metadata={},
        return_url=None,
        processor="stripe",
        created_at=fields.get("created_at", START),
        updated_at=fields.get("created_at", START),
        captured=fields.get("captured", money.minor_units if status in CAPTURED else 0),
        refunded=fields.get("refunded", 0),
        refund_reserved=fields.get("refund_reserved", fields.get("refunded", 0)),
        disputed=fields.get("disputed", 0),
        processor_reference=fields.get("processor_reference"),
        processor_status=fields.get("processor_status"),
    )


async def add_transaction(units: SqlUnitsOfWork, wanted: Transaction) -> Transaction:
    """Store a transaction in any status, led there by legal edges."""
    async with units.begin() as uow:
        begun = replace(wanted, status=TransactionStatus.PENDING)
        await uow.transactions.add(begun)
        for status in WAYS[wanted.status]:
            begun = await uow.transactions.save(replace(begun, status=status))
        return begun


def attempt(
    new_id: UUID,
    of: TransactionId,
    kind: AttemptKind = AttemptKind.CHARGE,
    *,
    refund_id: RefundId | None = None,
) -> Attempt:
    return Attempt(
        id=AttemptId(new_id),
        kind=kind,
        transaction_id=of,
        refund_id=refund_id,
        amount=None if kind is AttemptKind.VOID else 1000,
        step=AttemptStep.CREATE if kind is AttemptKind.CHARGE else AttemptStep.SEND,
    )


async def add_charges(units: SqlUnitsOfWork, ids: SequentialIds, payer: UserId, number: int) -> list[Attempt]:
    """Store so many payments that have just begun; their attempts, whose leases their caller holds."""
    added = []
    async with units.begin() as uow:
        for _ in range(number):
            begun = transaction(ids.new(), payer)
            await uow.transactions.add(begun)
            added.append(attempt(ids.new(), begun.id))
            await uow.attempts.add(added[-1])
    return added


def refund(
    new_id: UUID,
    of: Transaction,
    *,
    minor_units: int = 100,
    status: RefundStatus = RefundStatus.PENDING,
    processor_reference: str | None = None,
    created_at: datetime = START,
) -> Refund:
    return Refund(
        id=RefundId(new_id),
        transaction_id=of.id,
        status=status,
        money=Money(minor_units, of.money.currency),
        reason=None,
        requested_by=of.user_id,
        created_at=created_at,
        updated_at=created_at,
        processor_reference=processor_reference,
    )


def audit_entry(new_id: UUID, of: Transaction, action: AuditAction = AuditAction.TRANSACTION_CREATED) -> AuditEntry:
    return AuditEntry(
        id=AuditEntryId(new_id),
        transaction_id=of.id,
        action=action,
        actor_kind=ActorKind.USER,
        actor_id=of.user_id,
        details={},
        at=START,
    )
