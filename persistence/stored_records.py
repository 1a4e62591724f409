"""Records that decode a column when it is asked for.

A page holds hundreds of records, of which an answer shows some columns: to decode all of them took longer than to read them.
They are for reading alone; what is to be changed is a `whole` one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Self, TypedDict, cast

import orjson
from sqlalchemy import JSON, Column, ColumnElement, Text
from sqlalchemy import cast as cast_in_sql

from domain.access import ActorKind
from domain.audit import AuditAction, AuditEntry
from domain.currencies import Currency
from domain.ids import AuditEntryId, TransactionId, UserId
from domain.money import Money
from domain.payments.transaction import (
    CaptureMethod,
    Failure,
    NextAction,
    NextActionType,
    PaymentMethodSummary,
    Transaction,
    TransactionStatus,
)
from domain.text import JsonValue
from persistence.rows import Row, by_value, failure_of

_CURRENCIES = by_value(Currency)
_STATUSES = by_value(TransactionStatus)
_CAPTURE_METHODS = by_value(CaptureMethod)
_ACTIONS = by_value(AuditAction)
_ACTOR_KINDS = by_value(ActorKind)

_TRANSACTION = tuple(field.name for field in fields(Transaction))
_AUDIT_ENTRY = tuple(field.name for field in fields(AuditEntry))


class _TransactionRow(TypedDict):
    """The columns of a transaction, without those of its failure."""

    id: TransactionId
    user_id: UserId
    status: str
    amount: int
    currency: str
    captured: int
    refunded: int
    refund_reserved: int
    disputed: int
    fee: int | None
    fee_currency: str
    capture_method: str
    payment_method_id: str
    card_brand: str | None
    card_last4: str
    card_expiry_month: int
    card_expiry_year: int
    description: str | None
    metadata: Mapping[str, JsonValue] | str
    return_url: str | None
    processor: str
    processor_reference: str | None
    processor_status: str | None
    next_action_type: str | None
    next_action_redirect_url: str | None
    next_action_client_secret: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class StoredTransaction(Transaction):
    """A transaction over its row."""

    __slots__ = ("_row",)
    _row: _TransactionRow

    @classmethod
    def of(cls, row: Row) -> Self:
        made = cls.__new__(cls)
        object.__setattr__(made, "_row", row)
        return made

    def whole(self) -> Transaction:
        """The same, with every column decoded."""
        return Transaction(**{name: getattr(self, name) for name in _TRANSACTION})

    def __eq__(self, other: object) -> bool:
        return self.whole() == (other.whole() if isinstance(other, StoredTransaction) else other)

    __hash__ = Transaction.__hash__

    @property
    def id(self) -> TransactionId:
        return self._row["id"]

    @property
    def user_id(self) -> UserId:
        return self._row["user_id"]

    @property
    def status(self) -> TransactionStatus:
        return _STATUSES[self._row["status"]]

    @property
    def money(self) -> Money:
        row = self._row
        return Money(row["amount"], _CURRENCIES[row["currency"]])

    def in_own_currency(self, minor_units: int) -> Money:
        return Money(minor_units, _CURRENCIES[self._row["currency"]])

    @property
    def capture_method(self) -> CaptureMethod:
        return _CAPTURE_METHODS[self._row["capture_method"]]

    @property
    def payment_method_id(self) -> str:
        return self._row["payment_method_id"]

    @property
    def payment_method(self) -> PaymentMethodSummary | None:
        row = self._row
        if row["card_brand"] is None:
            return None
        return PaymentMethodSummary(
            brand=row["card_brand"],
            last4=row["card_last4"],
            expiry_month=row["card_expiry_month"],
            expiry_year=row["card_expiry_year"],
        )

    @property
    def description(self) -> str | None:
        return self._row["description"]

    @property
    def metadata(self) -> Mapping[str, JsonValue]:
        return _json(self._row["metadata"])

    @property
    def return_url(self) -> str | None:
        return self._row["return_url"]

    @property
    def processor(self) -> str:
        return self._row["processor"]

    @property
    def created_at(self) -> datetime:
        return self._row["created_at"]

    @property
    def updated_at(self) -> datetime:
        return self._row["updated_at"]

    @property
    def captured(self) -> int:
        return self._row["captured"]

    @property
    def refunded(self) -> int:
        return self._row["refunded"]

    @property
    def refund_reserved(self) -> int:
        return self._row["refund_reserved"]

    @property
    def disputed(self) -> int:
        return self._row["disputed"]

    @property
    def fee(self) -> Money | None:
        row = self._row
        return None if row["fee"] is None else Money(row["fee"], _CURRENCIES[row["fee_currency"]])

    @property
    def processor_reference(self) -> str | None:
        return self._row["processor_reference"]

    @property
    def processor_status(self) -> str | None:
        return self._row["processor_status"]

    @property
    def failure(self) -> Failure | None:
        return failure_of(self._row)

    @property
    def next_action(self) -> NextAction | None:
        row = self._row
        if row["next_action_type"] is None:
            return None
        return NextAction(
            type=NextActionType(row["next_action_type"]),
            redirect_url=row["next_action_redirect_url"],
            client_secret=row["next_action_client_secret"],
        )

    @property
    def version(self) -> int:
        return self._row["version"]


class _AuditEntryRow(TypedDict):
    """The columns of an audit entry."""

    id: AuditEntryId
    transaction_id: TransactionId | None
    action: str
    actor_kind: str
    actor_id: UserId | None
    details: Mapping[str, JsonValue] | str
    at: datetime


class StoredAuditEntry(AuditEntry):
    """An audit entry over its row."""

    __slots__ = ("_row",)
    _row: _AuditEntryRow

    @classmethod
    def of(cls, row: Row) -> Self:
        made = cls.__new__(cls)
        object.__setattr__(made, "_row", row)
        return made

    def whole(self) -> AuditEntry:
        """The same, with every column decoded."""
        return AuditEntry(**{name: getattr(self, name) for name in _AUDIT_ENTRY})

    def __eq__(self, other: object) -> bool:
        return self.whole() == (other.whole() if isinstance(other, StoredAuditEntry) else other)

    __hash__ = AuditEntry.__hash__

    @property
    def id(self) -> AuditEntryId:
        return self._row["id"]

    @property
    def transaction_id(self) -> TransactionId | None:
        return self._row["transaction_id"]

    @property
    def action(self) -> AuditAction:
        return _ACTIONS[self._row["action"]]

    @property
    def actor_kind(self) -> ActorKind:
        return _ACTOR_KINDS[self._row["actor_kind"]]

    @property
    def actor_id(self) -> UserId | None:
        return self._row["actor_id"]

    @property
    def details(self) -> Mapping[str, JsonValue]:
        return _json(self._row["details"])

    @property
    def at(self) -> datetime:
        return self._row["at"]


def with_json_as_text(columns: Iterable[Column[Any]]) -> tuple[ColumnElement[Any], ...]:  # Any: of several types
    """The columns, those of JSON as text: the driver would decode each of them at once, in Python."""
    return tuple(
        cast_in_sql(column, Text).label(column.name) if isinstance(column.type, JSON) else column for column in columns
    )


def _json(stored: Mapping[str, JsonValue] | str) -> Mapping[str, JsonValue]:
    """What a column of JSON holds, which is an object always: decoded by the driver, or read as its text."""
    return cast("Mapping[str, JsonValue]", orjson.loads(stored)) if isinstance(stored, str) else stored
