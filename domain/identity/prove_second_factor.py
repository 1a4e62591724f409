"""Take a code of the second factor, once."""

from domain.audit import AuditAction, AuditEntry
from domain.identity.second_factor import (
    Sealer,
    SecondFactor,
    is_totp_code,
    recovery_digest,
    step_of,
    tidied,
)
from domain.ports import Clock, IdSource, UnitOfWork

_CODE_LENGTH_MAX = 64


class ProveSecondFactor:
    """A part of the acts that ask for a code; it writes in their unit of work, which holds the user's lock.

    A code that was taken is not taken again, nor one from before it: whoever looked over somebody's shoulder is too late.
    """

    def __init__(self, *, sealer: Sealer | None, clock: Clock, ids: IdSource) -> None:
        self._sealer = sealer
        self._clock = clock
        self._ids = ids

    async def __call__(self, uow: UnitOfWork, factor: SecondFactor, code: str) -> bool:
        """Whether the code is right: one of the app, or a recovery code, which is used up by it."""
        code = tidied(code[:_CODE_LENGTH_MAX])
        if is_totp_code(code):
            step = self.step(factor, code)
            return step is not None and await uow.second_factors.take_step(factor.user_id, step)
        if not await uow.second_factors.take_code(factor.user_id, recovery_digest(code)):
            return False
        await uow.audit.append(
            AuditEntry.by_person(
                factor.user_id,
                AuditAction.RECOVERY_CODE_USED,
                new_id=self._ids.new(),
                details={},
                at=self._clock.now(),
            )
        )
        return True

    def step(self, factor: SecondFactor, code: str) -> int | None:
        """The step of a code of the app; None for a wrong one."""
        if self._sealer is None:
            return None
        return step_of(self._sealer.open(factor.sealed_secret, factor.user_id), code, self._clock.now())
