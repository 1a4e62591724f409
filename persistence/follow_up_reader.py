"""A read for previews of captures and voids."""

from collections.abc import Sequence

from sqlalchemy import func, select

from domain.access import Scope
from domain.ids import TransactionId
from domain.payments.attempt import AttemptKind, AttemptState
from persistence.batched_reader import BatchedReader, among, of_visible
from persistence.tables import attempts


class SqlFollowUpReader(BatchedReader):
    """The read behind `domain.payments.actions.FollowUpReader`."""

    async def open_follow_ups(self, transaction_ids: Sequence[TransactionId], scope: Scope) -> dict[TransactionId, int]:
        c = attempts.c
        # As the unique index that lets one of them be open: uq_attempts_follow_up.
        statement = (
            select(c.transaction_id, func.count().label("number"))
            .where(
                among(c.transaction_id, transaction_ids),
                of_visible(c.transaction_id, scope),
                c.kind.in_([AttemptKind.CAPTURE.value, AttemptKind.VOID.value]),
                c.state != AttemptState.DONE.value,
            )
            .group_by(c.transaction_id)
        )
        return {TransactionId(row["transaction_id"]): row["number"] for row in await self._rows(statement)}
