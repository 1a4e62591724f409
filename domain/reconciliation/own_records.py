"""What we have on record, as far as it is compared with the processor: read for a whole slice of time at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.currencies import Currency
from domain.ids import RefundId, TransactionId
from domain.payments.dispute import Dispute
from domain.payments.refund import Refund
from domain.payments.transaction import Transaction
from domain.reconciliation.records import Window


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """What the ledger says of one transaction, each in minor units by currency, all positive in the usual case."""

    sold: Mapping[Currency, int]
    refunded: Mapping[Currency, int]
    fees: Mapping[Currency, int]
    disputed: Mapping[Currency, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTransaction:
    """A transaction, what the ledger says of it, and what its disputes have withdrawn altogether, in minor units.

    `under_way`: it changed a moment ago, or an attempt is about to be looked at. Nothing can be said of it yet.
    """

    record: Transaction
    ledger: LedgerSums
    withdrawn: int
    under_way: bool


@dataclass(frozen=True, slots=True)
class OwnRefund:
    """A refund; `under_way` is as in OwnTransaction."""

    record: Refund
    under_way: bool


@dataclass(frozen=True, slots=True)
class OwnDispute:
    """A dispute; `under_way` is as in OwnTransaction."""

    record: Dispute
    under_way: bool


class OwnRecords(Protocol):
    """Reads of our side, one statement each, however many objects are asked for.

    Each answers with what has one of the processor's references, one of our own ids, or was made in the window.
    `settled_before` is the moment since when a change makes a record one that is under way.
    """

    async def transactions(
        self,
        *,
        references: Collection[str],
        ids: Collection[TransactionId],
        made_in: Window | None,
        settled_before: datetime,
    ) -> list[OwnTransaction]: ...

    async def refunds(
        self,
        *,
        references: Collection[str],
        ids: Collection[RefundId],
        made_in: Window | None,
        settled_before: datetime,
    ) -> list[OwnRefund]: ...

    async def disputes(
        self, *, references: Collection[str], made_in: Window | None, settled_before: datetime
    ) -> list[OwnDispute]: ...
