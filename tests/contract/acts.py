"""What the common suite does over and over: order, pay, give back. Every key and every id is a new one."""

import secrets
from uuid import UUID

from domain.currencies import Currency
from domain.ids import RefundId, TransactionId
from domain.money import Money
from domain.payments.gateway import (
    ChargeOrder,
    ChargeReport,
    RefundOrder,
    RefundReport,
)
from domain.payments.refund import RefundReason
from domain.payments.transaction import CaptureMethod
from tests.contract.backends import Backend

AMOUNT = Money(2000, Currency.USD)
RETURN_URL = "https://shop.test/paid?order=1"


def new_key() -> str:
    return secrets.token_hex(16)


def new_id() -> UUID:
    return UUID(bytes=secrets.token_bytes(16))


def order_of(
    backend: Backend,
    *,
    method: str | None = None,
    money: Money = AMOUNT,
    capture: CaptureMethod = CaptureMethod.AUTOMATIC,
    description: str | None = None,
) -> ChargeOrder:
    return ChargeOrder(
        transaction_id=TransactionId(new_id()),
        money=money,
        payment_method_id=method or backend.methods.good,
        capture_method=capture,
        description=description,
    )


async def pay(
    backend: Backend,
    *,
    method: str | None = None,
    capture: CaptureMethod = CaptureMethod.AUTOMATIC,
    return_url: str | None = None,
) -> ChargeReport:
    """A charge, created and confirmed."""
    created = await backend.gateway.create_charge(order_of(backend, method=method, capture=capture), key=new_key())
    return await backend.gateway.confirm_charge(created.reference, return_url=return_url, key=new_key())


async def give_back(
    backend: Backend,
    charge: ChargeReport,
    minor_units: int,
    *,
    reason: RefundReason | None = None,
) -> RefundReport:
    return await backend.gateway.refund_charge(refund_of(charge, minor_units, reason=reason), key=new_key())


def refund_of(charge: ChargeReport, minor_units: int, *, reason: RefundReason | None = None) -> RefundOrder:
    assert charge.transaction_id is not None
    return RefundOrder(
        refund_id=RefundId(new_id()),
        transaction_id=charge.transaction_id,
        charge_reference=charge.reference,
        money=Money(minor_units, charge.money.currency),
        reason=reason,
    )
