"""Links to a transaction, for the types that a transaction leads to: they cannot import its type, which imports theirs."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from api.graphql.context import Info
from domain.access import Capability
from domain.errors import Unavailable
from domain.ids import TransactionId
from domain.payments.transaction import Transaction as TransactionRecord

if TYPE_CHECKING:
    from api.graphql.transactions import Transaction

LazyTransaction: TypeAlias = Annotated["Transaction", strawberry.lazy("api.graphql.transactions")]


def linked(record: TransactionRecord) -> "Transaction":
    """The transaction as GraphQL shows it."""
    from api.graphql.transactions import transaction_type  # noqa: PLC0415  the types hold each other

    return transaction_type(record)


async def transaction_with(info: Info, transaction_id: TransactionId | None) -> "Transaction | None":
    """The transaction with an id, batched; None where there is none that the asker may see."""
    record = None if transaction_id is None else await info.context.loaders.transactions.load(transaction_id)
    return None if record is None else linked(record)


async def transaction_behind(info: Info, transaction_id: TransactionId) -> "Transaction":
    """The transaction that something shown belongs to, batched.

    Raises Forbidden for whoever may see no payments; Unavailable where it is not found, because whoever sees the one may see
    the other.
    """
    info.context.require(Capability.PAYMENTS_READ)
    found = await transaction_with(info, transaction_id)
    if found is None:
        raise Unavailable
    return found
