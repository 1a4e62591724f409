"""Dataloaders: what the fields of one level ask for is fetched in one statement, whatever their number."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from strawberry.dataloader import DataLoader

from domain.access import Actor
from domain.audit import AuditEntry
from domain.identity.users import User
from domain.ids import AuditEntryId, RefundId, TransactionId, UserId, WebhookEventId
from domain.messaging.inbox import InboxEntry, InboxReader
from domain.payments.queries import Page, PageRequest, Reader
from domain.payments.refund import Refund
from domain.payments.transaction import Transaction

K = TypeVar("K")
V = TypeVar("V")

CONNECTIONS_PER_REQUEST = 3
"""Batches of one request run at the same time, each on a connection of its own; one request may not drain the pool."""


class Loaders:
    """One request's loaders. Every read is made inside the actor's scope."""

    def __init__(self, reader: Reader, inbox: InboxReader, actor: Actor) -> None:
        scope = actor.scope
        self._scope = scope
        self._connections = asyncio.Semaphore(CONNECTIONS_PER_REQUEST)
        self._reader = reader
        self.users: DataLoader[UserId, User | None] = self._one(lambda ids: reader.users_by_ids(ids, scope))
        self.transactions: DataLoader[TransactionId, Transaction | None] = self._one(
            lambda ids: reader.transactions_by_ids(ids, scope)
        )
        self.refunds: DataLoader[RefundId, Refund | None] = self._one(lambda ids: reader.refunds_by_ids(ids, scope))
        self.audit_entries: DataLoader[AuditEntryId, AuditEntry | None] = self._one(
            lambda ids: reader.audit_entries_by_ids(ids, scope)
        )
        self.webhook_events: DataLoader[WebhookEventId, InboxEntry | None] = self._one(
            lambda ids: inbox.events_by_ids(ids, actor)
        )
        self.refund_counts: DataLoader[TransactionId, int] = self._count(
            lambda ids: reader.count_refunds_of(ids, scope)
        )
        self.audit_log_counts: DataLoader[TransactionId, int] = self._count(
            lambda ids: reader.count_audit_log_of(ids, scope)
        )
        self.user_transaction_counts: DataLoader[UserId, int] = self._count(
            lambda ids: reader.count_transactions_of_users(ids, scope)
        )
        self._refunds_of: dict[PageRequest, DataLoader[TransactionId, Page[Refund]]] = {}
        self._audit_log_of: dict[PageRequest, DataLoader[TransactionId, Page[AuditEntry]]] = {}
        self._transactions_of: dict[PageRequest, DataLoader[UserId, Page[Transaction]]] = {}

    # A page of children is batched over all parents that ask for the same piece, hence one loader for each piece.

    def refunds_of(self, page: PageRequest) -> DataLoader[TransactionId, Page[Refund]]:
        return _for_page(
            self._refunds_of, page, lambda: self._pages(lambda ids: self._reader.refunds_of(ids, page, self._scope))
        )

    def audit_log_of(self, page: PageRequest) -> DataLoader[TransactionId, Page[AuditEntry]]:
        return _for_page(
            self._audit_log_of, page, lambda: self._pages(lambda ids: self._reader.audit_log_of(ids, page, self._scope))
        )

    def transactions_of(self, page: PageRequest) -> DataLoader[UserId, Page[Transaction]]:
        return _for_page(
            self._transactions_of,
            page,
            lambda: self._pages(lambda ids: self._reader.transactions_of_users(ids, page, self._scope)),
        )

    def _one(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, V]]]) -> DataLoader[K, V | None]:
        async def load(keys: list[K]) -> list[V | None]:
            async with self._connections:
                found = await fetch(keys)
            return [found.get(key) for key in keys]

        return DataLoader(load_fn=load)

    def _count(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, int]]]) -> DataLoader[K, int]:
        async def load(keys: list[K]) -> list[int]:
            async with self._connections:
                found = await fetch(keys)
            return [found.get(key, 0) for key in keys]

        return DataLoader(load_fn=load)

    def _pages(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, Page[V]]]]) -> DataLoader[K, Page[V]]:
        async def load(keys: list[K]) -> list[Page[V]]:
            async with self._connections:
                found = await fetch(keys)
            return [found[key] for key in keys]

        return DataLoader(load_fn=load)


def _for_page(
    loaders: dict[PageRequest, DataLoader[K, Page[V]]],
    page: PageRequest,
    make: Callable[[], DataLoader[K, Page[V]]],
) -> DataLoader[K, Page[V]]:
    loader = loaders.get(page)
    if loader is None:
        loader = loaders[page] = make()
    return loader
