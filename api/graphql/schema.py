"""The schema: what can be asked, put together from one file for each noun."""

import asyncio
from typing import Annotated

import strawberry
from strawberry.schema.config import StrawberryConfig

from api.graphql.audit import AuditEntry, audit_entry_type
from api.graphql.context import Context, Info
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, connection, page_request
from api.graphql.payments import Mutation
from api.graphql.problems import ERROR_TYPES
from api.graphql.refunds import Refund, refund_type
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
from domain.errors import BadInput, Unauthenticated
from domain.ids import AuditEntryId, IdKind, RefundId, TransactionId, UserId, WebhookEventId
from domain.payments.queries import ANY_TRANSACTION, PAGE_SIZE_MAX, Order


@strawberry.type(description="Everything that can be read. A customer sees what is their own; staff see all.")
class Query(WebhookQueries):
    """The queries."""

    @strawberry.field(description="Any object by its id; null where there is none, or none that you may see.")
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The object's id.")],  # noqa: A002  Relay's name
    ) -> Node | None:
        return await _node(info.context, id)

    @strawberry.field(description="Several objects by their ids, in the same order, null for each that is not found.")
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="The objects' ids, at most 100.")],
    ) -> list[Node | None]:
        if len(ids) > PAGE_SIZE_MAX:
            raise BadInput(f"At most {PAGE_SIZE_MAX} nodes can be fetched at once; these are {len(ids)}.")
        return await asyncio.gather(*(_node(info.context, each) for each in ids))

    @strawberry.field(description="Who you are.")
    async def me(self, info: Info) -> User:
        user = await info.context.loaders.users.load(info.context.require_actor().user_id)
        if user is None:
            raise Unauthenticated
        return user_type(user)

    @strawberry.field(description="A user; null where there is none that you may see.")
    async def user(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The user's id.")],  # noqa: A002  the contract's name
    ) -> User | None:
        node = await _node(info.context, id)
        return node if isinstance(node, User) else None

    @strawberry.field(description="A transaction; null where there is none that you may see.")
    async def transaction(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The transaction's id.")],  # noqa: A002  the contract's name
    ) -> Transaction | None:
        node = await _node(info.context, id)
        return node if isinstance(node, Transaction) else None

    @strawberry.field(description="Transactions, newest first unless ordered otherwise.")
    async def transactions(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[  # noqa: A002  the contract's name
            TransactionFilter | None, strawberry.argument(description="Which ones.")
        ] = None,
        order_by: Annotated[TransactionOrder | None, strawberry.argument(description="In which order.")] = None,
    ) -> Connection[Transaction]:
        scope = info.context.require_actor().scope
        where = ANY_TRANSACTION if filter is None else filter.to_filter()
        order = Order() if order_by is None else order_by.to_order()
        ordering = ordering_of(order)
        page = page_request(first, after, last, before, ordering=ordering)
        reader = info.context.reader
        return connection(
            await reader.transactions(scope, where, order, page),
            ordering,
            transaction_type,
            lambda: reader.count_transactions(scope, where),
        )


async def _node(context: Context, text: str) -> Node | None:
    """The object with this id, through the loaders, so that many ids of one kind cost one statement."""
    loaders = context.loaders
    match ids.decode(text):
        case IdKind.TRANSACTION, value:
            transaction = await loaders.transactions.load(TransactionId(value))
            return None if transaction is None else transaction_type(transaction)
        case IdKind.REFUND, value:
            refund = await loaders.refunds.load(RefundId(value))
            return None if refund is None else refund_type(refund)
        case IdKind.USER, value:
            user = await loaders.users.load(UserId(value))
            return None if user is None else user_type(user)
        case IdKind.AUDIT_ENTRY, value:
            entry = await loaders.audit_entries.load(AuditEntryId(value))
            return None if entry is None else audit_entry_type(entry)
        case IdKind.WEBHOOK_EVENT, value:
            event = await loaders.webhook_events.load(WebhookEventId(value))
            return None if event is None else webhook_event_type(event)
        case _:
            return None


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[Transaction, Refund, User, AuditEntry, WebhookEvent, *ERROR_TYPES],
    config=StrawberryConfig(scalar_map=SCALARS),
)
