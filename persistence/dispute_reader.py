"""Reads of disputes."""

from collections.abc import Sequence

from sqlalchemy import select

from domain.access import Scope
from domain.ids import DisputeId, TransactionId
from domain.payments.dispute import Dispute
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, of_visible
from persistence.disputes import dispute_of
from persistence.paging import Keyset
from persistence.tables import disputes

_OLDEST_FIRST = Keyset(disputes.c.created_at, disputes.c.id, descending=False)


class SqlDisputeReader(BatchedReader):
    """The reads behind `domain.payments.queries.DisputeReader`."""

    async def disputes_by_ids(self, ids: Sequence[DisputeId], scope: Scope) -> dict[DisputeId, Dispute]:
        c = disputes.c
        return await self._by_ids(ids, c.id, select(*c).where(of_visible(c.transaction_id, scope)), dispute_of)

    async def disputes_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[Dispute]]:
        c = disputes.c
        child = select(*c).where(of_visible(c.transaction_id, scope))
        return await self._pages_of(transaction_ids, c.transaction_id, child, _OLDEST_FIRST, page, dispute_of)

    async def count_disputes_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]:
        return await self._counts_of(transaction_ids, disputes, scope)
