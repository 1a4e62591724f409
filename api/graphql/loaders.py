"""Dataloaders: what the fields of one level ask for is fetched in one statement, whatever their number."""

import asyncio
from functools import cached_property

from api.graphql.batching import CONNECTIONS_PER_REQUEST, Batches, Loader, Lookup, for_page
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
        self._scope = actor.scope
        self._actor = actor
        self._batches = Batches(asyncio.Semaphore(CONNECTIONS_PER_REQUEST))
        self._readers = readers
        self._clock = clock
        self._refunds_of: dict[PageRequest, Loader[TransactionId, Page[Refund]]] = {}
        self._disputes_of: dict[PageRequest, Loader[TransactionId, Page[Dispute]]] = {}
        self._audit_log_of: dict[PageRequest, Loader[TransactionId, Page[AuditEntry]]] = {}
        self._transactions_of: dict[PageRequest, Loader[UserId, Page[Transaction]]] = {}

    # Each loader is made when it is first asked for: a request uses some of them. What one calls holds no `self`, so that a
    # request's records are gone with it and need no garbage collector.

    @cached_property
    def ledger(self) -> LedgerLoaders:
        return LedgerLoaders(self._batches, self._readers.ledger, self._actor)

    @cached_property
    def open_sessions(self) -> Lookup[UserId, list[Session]]:
        readers, clock = self._readers, self._clock
        return self._batches.one(lambda ids: readers.identity.open_sessions_of(ids, clock.now()))

    @cached_property
    def second_factors(self) -> Loader[UserId, int]:
        readers = self._readers
        return self._batches.count(readers.identity.second_factors_of)

    @cached_property
    def users(self) -> Lookup[UserId, User]:
        reader, actor = self._readers.payments, self._actor
        return self._batches.one(lambda ids: reader.users_by_ids(ids, actor.people))

    @cached_property
    def transactions(self) -> Lookup[TransactionId, Transaction]:
        reader, scope = self._readers.payments, self._scope
        return self._batches.one(lambda ids: reader.transactions_by_ids(ids, scope))

    @cached_property
    def refunds(self) -> Lookup[RefundId, Refund]:
        reader, scope = self._readers.payments, self._scope
        return self._batches.one(lambda ids: reader.refunds_by_ids(ids, scope))

    @cached_property
    def audit_entries(self) -> Lookup[AuditEntryId, AuditEntry]:
        reader, scope = self._readers.payments, self._scope
        return self._batches.one(lambda ids: reader.audit_entries_by_ids(ids, scope))

    @cached_property
    def webhook_events(self) -> Lookup[WebhookEventId, InboxEntry]:
        readers, actor = self._readers, self._actor
        return self._batches.one(lambda ids: readers.inbox.events_by_ids(ids, actor))

    @cached_property
    def attempts(self) -> Lookup[AttemptId, AttemptView]:
        readers, actor = self._readers, self._actor
        return self._batches.one(
            lambda ids: readers.attempts.attempts_by_ids(ids, actor.scope_of(Capability.ATTEMPTS_READ))
        )

    @cached_property
    def recoveries(self) -> Lookup[TransactionId, AttemptView]:
        readers, scope = self._readers, self._scope
        return self._batches.one(lambda ids: readers.attempts.recoveries_of(ids, scope))

    @cached_property
    def disputes(self) -> Lookup[DisputeId, Dispute]:
        readers, scope = self._readers, self._scope
        return self._batches.one(lambda ids: readers.disputes.disputes_by_ids(ids, scope))

    @cached_property
    def discrepancies(self) -> Lookup[DiscrepancyId, Discrepancy]:
        readers, actor = self._readers, self._actor
        return self._batches.one(lambda ids: readers.discrepancies.discrepancies_by_ids(ids, actor))

    @cached_property
    def api_keys(self) -> Lookup[ApiKeyId, ApiKey]:
        readers, actor = self._readers, self._actor
        return self._batches.one(lambda ids: readers.api_keys.keys_by_ids(ids, actor))

    @cached_property
    def dispute_counts(self) -> Loader[TransactionId, int]:
        readers, scope = self._readers, self._scope
        return self._batches.count(lambda ids: readers.disputes.count_disputes_of(ids, scope))

    @cached_property
    def open_follow_ups(self) -> Loader[TransactionId, int]:
        readers, scope = self._readers, self._scope
        return self._batches.count(lambda ids: readers.follow_ups.open_follow_ups(ids, scope))

    @cached_property
    def refund_counts(self) -> Loader[TransactionId, int]:
        reader, scope = self._readers.payments, self._scope
        return self._batches.count(lambda ids: reader.count_refunds_of(ids, scope))

    @cached_property
    def audit_log_counts(self) -> Loader[TransactionId, int]:
        reader, scope = self._readers.payments, self._scope
        return self._batches.count(lambda ids: reader.count_audit_log_of(ids, scope))

    @cached_property
    def user_transaction_counts(self) -> Loader[UserId, int]:
        reader, scope = self._readers.payments, self._scope
        return self._batches.count(lambda ids: reader.count_transactions_of_users(ids, scope))

    # A page of children is batched over all parents that ask for the same piece, hence one loader for each piece.

    def refunds_of(self, page: PageRequest) -> Loader[TransactionId, Page[Refund]]:
        reader, scope = self._readers.payments, self._scope
        return for_page(
            self._refunds_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.refunds_of(ids, page, scope)),
        )

    def disputes_of(self, page: PageRequest) -> Loader[TransactionId, Page[Dispute]]:
        reader, scope = self._readers.disputes, self._scope
        return for_page(
            self._disputes_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.disputes_of(ids, page, scope)),
        )

    def audit_log_of(self, page: PageRequest) -> Loader[TransactionId, Page[AuditEntry]]:
        reader, scope = self._readers.payments, self._scope
        return for_page(
            self._audit_log_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.audit_log_of(ids, page, scope)),
        )

    def transactions_of(self, page: PageRequest) -> Loader[UserId, Page[Transaction]]:
        reader, scope = self._readers.payments, self._scope
        return for_page(
            self._transactions_of,
            page,
            lambda: self._batches.pages(lambda ids: reader.transactions_of_users(ids, page, scope)),
        )
