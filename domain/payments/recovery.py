"""Recovery: attempts whose outcome is open are taken up again, for ever, from the step they stand at."""

from domain.audit import Origin
from domain.payments.attempt import DEATHS_MAX, Attempt, AttemptState
from domain.payments.runner import AttemptRunner
from domain.ports import UnitsOfWork


class Recovery:
    """The worker's act on attempts: those left by a crash, those without an answer, those that wait for the payer."""

    def __init__(self, *, units: UnitsOfWork, runner: AttemptRunner, deaths_max: int = DEATHS_MAX) -> None:
        self._units = units
        self._runner = runner
        self._deaths_max = deaths_max

    async def claim(self, limit: int) -> list[Attempt]:
        """Claim at most `limit` attempts for this process. Those that were parked instead are among them."""
        async with self._units.autocommit() as uow:
            return await uow.attempts.claim_due(limit, self._deaths_max)

    async def resume(self, attempt: Attempt) -> None:
        """Go on with a claimed attempt; one that was parked is left alone."""
        if attempt.state is AttemptState.OPEN:
            await self._runner.run(attempt, origin=Origin.RECOVERY)
