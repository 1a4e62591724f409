"""Links to a transaction, for the types that a transaction leads to: they cannot import its type, which imports theirs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from api.graphql.batching import shown
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


async def transactions_with(info: Info, transaction_ids: Sequence[TransactionId | None]) -> "list[Transaction | None]":
    """The transactions with these ids; None where there is none that the asker may see."""
    return shown(await info.context.loaders.transactions.load_many(transaction_ids), linked)


async def transactions_behind(info: Info, transaction_ids: Sequence[TransactionId]) -> "list[Transaction]":
    """The transactions that things shown belong to.

    Raises Forbidden for whoever may see no payments; Unavailable where one is not found, because whoever sees the one may see
    the other.
    """
    info.context.require(Capability.PAYMENTS_READ)
    found = [each for each in await transactions_with(info, transaction_ids) if each is not None]
    if len(found) < len(transaction_ids):
        raise Unavailable
    return found
