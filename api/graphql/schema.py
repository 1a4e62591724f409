"""The schema: what can be asked, put together from one file for each noun."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

import strawberry
from strawberry.schema.config import StrawberryConfig

from api.graphql.actions import ActionQueries
from api.graphql.administration import UserQueries
from api.graphql.api_keys import ApiKey, ApiKeyQueries, api_key_type
from api.graphql.approvals import RefundQueries
from api.graphql.audit import AuditEntry, audit_entry_type
from api.graphql.batching import Loader
from api.graphql.context import Context, Info
from api.graphql.discrepancies import Discrepancy, DiscrepancyQueries, discrepancy_type
from api.graphql.disputes import Dispute, dispute_type
from api.graphql.ledger import (
    JournalEntry,
    LedgerAccount,
    LedgerQueries,
    journal_entry_type,
    ledger_account_type,
)
from api.graphql.loaders import Loaders
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, connection, page_request
from api.graphql.payments import Mutation
from api.graphql.problems import ERROR_TYPES
from api.graphql.recovery import Attempt, RecoveryQueries, attempt_type
from api.graphql.refunds import Refund, refund_type
from api.graphql.rules import SIGNED_IN, enforce, needs
from api.graphql.scalars import SCALARS
from api.graphql.transactions import (
    Transaction,
    TransactionFilter,
    TransactionOrder,
    ordering_of,
    transaction_type,
)
from api.graphql.users import User, user_type
from api.graphql.webhooks import WebhookEvent, WebhookQueries, webhook_event_type
from domain import ids
from domain.access import Capability
from domain.errors import BadInput, Unauthenticated
from domain.ids import IdKind
from domain.payments.queries import ANY_TRANSACTION, PAGE_SIZE_MAX, Order

R = TypeVar("R")


@strawberry.type(description="Everything that can be read. A customer sees what is their own; staff see all.")
class Query(
    UserQueries,
    ApiKeyQueries,
    RefundQueries,
    ActionQueries,
    LedgerQueries,
    RecoveryQueries,
    WebhookQueries,
    DiscrepancyQueries,
):
    """The queries."""

    @strawberry.field(
        description="Any object by its id; null where there is none, or none that you may see.",
        metadata=SIGNED_IN,
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The object's id.")],
    ) -> Node | None:
        return await _node(info.context, id)

    @strawberry.field(
        description="Several objects by their ids, in the same order, null for each that is not found.",
        metadata=SIGNED_IN,
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="The objects' ids, at most 100.")],
    ) -> list[Node | None]:
        if len(ids) > PAGE_SIZE_MAX:
            raise BadInput(f"At most {PAGE_SIZE_MAX} nodes can be fetched at once; these are {len(ids)}.")
        return await asyncio.gather(*(_node(info.context, each) for each in ids))

    @strawberry.field(
        description="Who you are.",
        metadata=SIGNED_IN,
    )
    async def me(self, info: Info) -> User:
        user = await info.context.loaders.users.load(info.context.require_actor().user_id)
        if user is None:
            raise Unauthenticated
        return user_type(user)

    @strawberry.field(
        description="A user; null where there is none that you may see.",
        metadata=SIGNED_IN,
    )
    async def user(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The user's id.")],
    ) -> User | None:
        node = await _node(info.context, id)
        return node if isinstance(node, User) else None

    @strawberry.field(
        description="A transaction; null where there is none that you may see.",
        metadata=needs(Capability.PAYMENTS_READ),
    )
    async def transaction(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The transaction's id.")],
    ) -> Transaction | None:
        node = await _node(info.context, id)
        return node if isinstance(node, Transaction) else None

    @strawberry.field(
        description="Transactions, newest first unless ordered otherwise.",
        metadata=needs(Capability.PAYMENTS_READ),
    )
    async def transactions(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[TransactionFilter | None, strawberry.argument(description="Which ones.")] = None,
        order_by: Annotated[TransactionOrder | None, strawberry.argument(description="In which order.")] = None,
    ) -> Connection[Transaction]:
        scope = info.context.require_actor().scope
        where = ANY_TRANSACTION if filter is None else filter.to_filter()
        order = Order() if order_by is None else order_by.to_order()
        ordering = ordering_of(order)
        page = page_request(first, after, last, before, ordering=ordering)
        reader = info.context.readers.payments
        return connection(
            await reader.transactions(scope, where, order, page),
            ordering,
            transaction_type,
            lambda: reader.count_transactions(scope, where),
        )


async def _node(context: Context, text: str) -> Node | None:
    """The object with this id, through the loaders, so that many ids of one kind cost one statement."""
    actor = context.require_actor()
    decoded = ids.decode(text)
    found = None if decoded is None else _NODES.get(decoded[0])
    if decoded is None or found is None or not (found.seen_with is None or actor.may(found.seen_with)):
        return None
    return await found.load(context.loaders, decoded[1])


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is behind ids of one kind: how it is loaded, and with which capability it is seen."""

    load: Callable[[Loaders, UUID], Awaitable[Node | None]]
    seen_with: Capability | None


def _kind(
    kind: type[Node],
    # Any: each kind's loader has a key type of its own, made of the id's UUID.
    loader_of: Callable[[Loaders], Loader[Any, R | None]],
    node: Callable[[R], Node],
) -> _Kind:
    async def load(loaders: Loaders, value: UUID) -> Node | None:
        record = await loader_of(loaders).load(value)
        return None if record is None else node(record)

    return _Kind(load, kind.seen_with)


_NODES: Mapping[IdKind, _Kind] = {
    IdKind.TRANSACTION: _kind(Transaction, lambda loaders: loaders.transactions, transaction_type),
    IdKind.REFUND: _kind(Refund, lambda loaders: loaders.refunds, refund_type),
    IdKind.DISPUTE: _kind(Dispute, lambda loaders: loaders.disputes, dispute_type),
    IdKind.ATTEMPT: _kind(Attempt, lambda loaders: loaders.attempts, attempt_type),
    IdKind.USER: _kind(User, lambda loaders: loaders.users, user_type),
    IdKind.AUDIT_ENTRY: _kind(AuditEntry, lambda loaders: loaders.audit_entries, audit_entry_type),
    IdKind.JOURNAL_ENTRY: _kind(JournalEntry, lambda loaders: loaders.ledger.entries, journal_entry_type),
    IdKind.LEDGER_ACCOUNT: _kind(LedgerAccount, lambda loaders: loaders.ledger.accounts, ledger_account_type),
    IdKind.WEBHOOK_EVENT: _kind(WebhookEvent, lambda loaders: loaders.webhook_events, webhook_event_type),
    IdKind.DISCREPANCY: _kind(Discrepancy, lambda loaders: loaders.discrepancies, discrepancy_type),
    IdKind.API_KEY: _kind(ApiKey, lambda loaders: loaders.api_keys, api_key_type),
}


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[
        Transaction,
        Refund,
        Dispute,
        Attempt,
        User,
        AuditEntry,
        JournalEntry,
        LedgerAccount,
        WebhookEvent,
        Discrepancy,
        ApiKey,
        *ERROR_TYPES,
    ],
    config=StrawberryConfig(scalar_map=SCALARS),
)
enforce(schema._schema)  # noqa: SLF001  Strawberry has no public name for the graphql-core schema inside
