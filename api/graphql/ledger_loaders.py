"""Dataloaders of the ledger."""

from datetime import datetime
from functools import cached_property

from api.graphql.batching import Batches, Loader, Lookup, for_page
from domain.access import Actor
from domain.ids import JournalEntryId, LedgerAccountId, TransactionId
from domain.ledger.accounts import Account
from domain.ledger.entries import JournalEntry
from domain.ledger.queries import LedgerReader, Totals
from domain.payments.queries import Page, PageRequest


class LedgerLoaders:
    """One request's loaders of the ledger, which finds nothing for anybody but staff."""

    def __init__(self, batches: Batches, reader: LedgerReader, actor: Actor) -> None:
        self._batches = batches
        self._reader = reader
        self._actor = actor
        self._entries_of: dict[PageRequest, Loader[TransactionId, Page[JournalEntry]]] = {}
        self._totals: dict[datetime | None, Lookup[LedgerAccountId, Totals]] = {}

    # Each is made when it is first asked for. What one calls holds no `self`: see Loaders.

    @cached_property
    def accounts(self) -> Lookup[LedgerAccountId, Account]:
        reader, actor = self._reader, self._actor
        return self._batches.one(lambda ids: reader.accounts_by_ids(ids, actor))

    @cached_property
    def entries(self) -> Lookup[JournalEntryId, JournalEntry]:
        reader, actor = self._reader, self._actor
        return self._batches.one(lambda ids: reader.entries_by_ids(ids, actor))

    @cached_property
    def entry_counts(self) -> Loader[TransactionId, int]:
        reader, actor = self._reader, self._actor
        return self._batches.count(lambda ids: reader.count_entries_of(ids, actor))

    def entries_of(self, page: PageRequest) -> Loader[TransactionId, Page[JournalEntry]]:
        reader, actor = self._reader, self._actor
        return for_page(
            self._entries_of, page, lambda: self._batches.pages(lambda ids: reader.entries_of(ids, page, actor))
        )

    def totals(self, as_of: datetime | None) -> Lookup[LedgerAccountId, Totals]:
        """One loader for each moment that is asked about."""
        loader = self._totals.get(as_of)
        if loader is None:
            reader, actor = self._reader, self._actor
            loader = self._totals[as_of] = self._batches.one(lambda ids: reader.totals(ids, as_of, actor))
        return loader
