"""A read for previews of captures and voids."""

from collections.abc import Sequence

from sqlalchemy import literal_column

from domain.access import Scope
from domain.ids import TransactionId
from persistence.batched_reader import BatchedReader, Selection, of_visible, owned
from persistence.tables import attempts

_FOLLOW_UPS = Selection(
    attempts,
    tuple(attempts.c),
    attempts.c.id,
    {
        "owner": of_visible(attempts.c.transaction_id),
        # As the unique index that lets one of them be open: uq_attempts_follow_up.
        "open": literal_column("attempts.kind IN ('CAPTURE', 'VOID') AND attempts.state <> 'DONE'"),
    },
)


class SqlFollowUpReader(BatchedReader):
    """The read behind `domain.payments.actions.FollowUpReader`."""

    async def open_follow_ups(self, transaction_ids: Sequence[TransactionId], scope: Scope) -> dict[TransactionId, int]:
        values = {**owned(scope), "open": True}
        return await self._counts_of(transaction_ids, attempts.c.transaction_id, _FOLLOW_UPS, values)
