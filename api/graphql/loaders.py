"""Dataloaders: what the fields of one level ask for is fetched in one statement, whatever their number."""

import asyncio

from strawberry.dataloader import DataLoader

from api.graphql.batching import CONNECTIONS_PER_REQUEST, Batches, for_page
from api.graphql.ledger_loaders import LedgerLoaders
from api.graphql.readers import Readers
from domain.access import Actor, Capability
from domain.audit import AuditEntry
from domain.identity.api_keys import ApiKey
from domain.identity.sessions import Session
from domain.identity.users import User
from domain.ids import (
    ApiKeyId,
    AttemptId,
    AuditEntryId,
    DiscrepancyId,
    DisputeId,
    RefundId,
    TransactionId,
    UserId,
    WebhookEventId,
)
from domain.messaging.inbox import InboxEntry
from domain.payments.attempt_queries import AttemptView
from domain.payments.dispute import Dispute
from domain.payments.queries import Page, PageRequest
from domain.payments.refund import Refund
from domain.payments.transaction import Transaction
from domain.ports import Clock
from domain.reconciliation.discrepancies import Discrepancy


class Loaders:
    """One request's loaders. Every read is made inside the actor's scope."""

    def __init__(self, readers: Readers, actor: Actor, clock: Clock) -> None:
        scope = actor.scope
        self._scope = scope
        batches = self._batches = Batches(asyncio.Semaphore(CONNECTIONS_PER_REQUEST))
        reader = readers.payments
        self._readers = readers
        self.ledger = LedgerLoaders(batches, readers.ledger, actor)
        self.open_sessions: DataLoader[UserId, list[Session] | None] = batches.one(
            lambda ids: readers.identity.open_sessions_of(ids, clock.now())
        )
        self.second_factors: DataLoader[UserId, int] = batches.count(readers.identity.second_factors_of)
        self.users: DataLoader[UserId, User | None] = batches.one(lambda ids: reader.users_by_ids(ids, actor.people))
        self.transactions: DataLoader[TransactionId, Transaction | None] = batches.one(
            lambda ids: reader.transactions_by_ids(ids, scope)
        )
        self.refunds: DataLoader[RefundId, Refund | None] = batches.one(lambda ids: reader.refunds_by_ids(ids, scope))
        self.audit_entries: DataLoader[AuditEntryId, AuditEntry | None] = batches.one(
            lambda ids: reader.audit_entries_by_ids(ids, scope)
        )
        self.webhook_events: DataLoader[WebhookEventId, InboxEntry | None] = batches.one(
            lambda ids: readers.inbox.events_by_ids(ids, actor)
        )
        self.attempts: DataLoader[AttemptId, AttemptView | None] = batches.one(
            lambda ids: readers.attempts.attempts_by_ids(ids, actor.scope_of(Capability.ATTEMPTS_READ))
        )
        self.recoveries: DataLoader[TransactionId, AttemptView | None] = batches.one(
            lambda ids: readers.attempts.recoveries_of(ids, scope)
        )
        self.disputes: DataLoader[DisputeId, Dispute | None] = batches.one(
            lambda ids: readers.disputes.disputes_by_ids(ids, scope)
        )
        self.discrepancies: DataLoader[DiscrepancyId, Discrepancy | None] = batches.one(
            lambda ids: readers.discrepancies.discrepancies_by_ids(ids, actor)
        )
        self.api_keys: DataLoader[ApiKeyId, ApiKey | None] = batches.one(
            lambda ids: readers.api_keys.keys_by_ids(ids, actor)
        )
        self.dispute_counts: DataLoader[TransactionId, int] = batches.count(
            lambda ids: readers.disputes.count_disputes_of(ids, scope)
        )
        self.open_follow_ups: DataLoader[TransactionId, int] = batches.count(
            lambda ids: readers.follow_ups.open_follow_ups(ids, scope)
        )
        self.refund_counts: DataLoader[TransactionId, int] = batches.count(
            lambda ids: reader.count_refunds_of(ids, scope)
        )
        self.audit_log_counts: DataLoader[TransactionId, int] = batches.count(
            lambda ids: reader.count_audit_log_of(ids, scope)
        )
        self.user_transaction_counts: DataLoader[UserId, int] = batches.count(
            lambda ids: reader.count_transactions_of_users(ids, scope)
        )
        self._refunds_of: dict[PageRequest, DataLoader[TransactionId, Page[Refund]]] = {}
        self._disputes_of: dict[PageRequest, DataLoader[TransactionId, Page[Dispute]]] = {}
        self._audit_log_of: dict[PageRequest, DataLoader[TransactionId, Page[AuditEntry]]] = {}
        self._transactions_of: dict[PageRequest, DataLoader[UserId, Page[Transaction]]] = {}

    # A page of children is batched over all parents that ask for the same piece, hence one loader for each piece. What one
    # calls holds no `self`, so that a request's records are gone with it and need no garbage collector.

    def refunds_of(self, page: PageRequest) -> DataLoader[TransactionId, Page[Refund]]:
        reader, scope = self._readers.payments, self._scope
        return for_page(
            self._refunds_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.refunds_of(ids, page, scope)),
        )

    def disputes_of(self, page: PageRequest) -> DataLoader[TransactionId, Page[Dispute]]:
        reader, scope = self._readers.disputes, self._scope
        return for_page(
            self._disputes_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.disputes_of(ids, page, scope)),
        )

    def audit_log_of(self, page: PageRequest) -> DataLoader[TransactionId, Page[AuditEntry]]:
        reader, scope = self._readers.payments, self._scope
        return for_page(
            self._audit_log_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.audit_log_of(ids, page, scope)),
        )

    def transactions_of(self, page: PageRequest) -> DataLoader[UserId, Page[Transaction]]:
        reader, scope = self._readers.payments, self._scope
        return for_page(
            self._transactions_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.transactions_of_users(ids, page, scope)),
        )
