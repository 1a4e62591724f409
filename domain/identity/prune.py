"""Delete sessions, tokens and mails that ended long ago, so that their tables do not grow for ever."""

from datetime import timedelta

from domain.ports import UnitsOfWork
from domain.sweeps import SweepResult, SweepRun

KEPT = timedelta(days=30)
"""For how long a session that is over and a mail that was sent are kept, for whoever asks what happened."""

BATCH = 500


class PruneIdentity:
    """The sweep over what people leave behind."""

    name = "identity_prune"
    interval = timedelta(hours=1)

    def __init__(self, units: UnitsOfWork) -> None:
        self._units = units

    async def __call__(self, run: SweepRun) -> SweepResult:
        """Delete one batch of each, each by itself, so that nobody waits for long for a row."""
        before = run.started_at - KEPT
        async with self._units.autocommit() as uow:
            deleted = {
                "sessions": await uow.sessions.prune(before, BATCH),
                "tokens": await uow.one_time_tokens.prune(run.started_at, BATCH),
                "mails": await uow.mails.prune(before, BATCH),
            }
        found = {kind: number for kind, number in deleted.items() if number}
        return SweepResult(found=found, more=any(number >= BATCH for number in deleted.values()))
