"""Reads of disputes."""

from collections.abc import Sequence

from domain.access import Scope
from domain.ids import DisputeId, TransactionId
from domain.payments.dispute import Dispute
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, Selection, of_visible, owned
from persistence.disputes import dispute_of
from persistence.paging import Keyset
from persistence.tables import disputes

_OLDEST_FIRST = Keyset(disputes.c.created_at, disputes.c.id, descending=False)
_DISPUTES = Selection(disputes, tuple(disputes.c), disputes.c.id, {"owner": of_visible(disputes.c.transaction_id)})


class SqlDisputeReader(BatchedReader):
    """The reads behind `domain.payments.queries.DisputeReader`."""

    async def disputes_by_ids(self, ids: Sequence[DisputeId], scope: Scope) -> dict[DisputeId, Dispute]:
        return await self._by_ids(ids, _DISPUTES, owned(scope), dispute_of)

    async def disputes_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[Dispute]]:
        parent = disputes.c.transaction_id
        return await self._pages_of(transaction_ids, parent, _DISPUTES, owned(scope), _OLDEST_FIRST, page, dispute_of)

    async def count_disputes_of(
        self, transaction_ids: Sequence[TransactionId], scope: Scope
    ) -> dict[TransactionId, int]:
        return await self._counts_of(transaction_ids, disputes.c.transaction_id, _DISPUTES, owned(scope))
