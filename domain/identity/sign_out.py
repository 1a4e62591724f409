"""End sessions: this one, another one, or all."""

from domain.audit import AuditAction, AuditEntry
from domain.errors import NotFound
from domain.identity.one_time import REFRESH_MARK, can_be_token, digest_of
from domain.ids import IdKind, SessionId, UserId, encode
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork


class EndSessions:
    """The acts behind signOut, signOutEverywhere and revokeSession. What ends is over with the next request."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids

    async def one(self, user_id: UserId, session_id: SessionId | None) -> None:
        """End a session of one's own. Raises NotFound where there is none that is open."""
        async with self._units.begin() as uow:
            if session_id is None or not await self._end(uow, user_id, session_id):
                raise NotFound(path=("input", "sessionId"))

    async def of_token(self, refresh_token: str) -> None:
        """End the session of a refresh token, for a client whose access token has run out. One that holds no more is fine."""
        if not can_be_token(refresh_token, REFRESH_MARK):
            return
        async with self._units.begin() as uow:
            shown = await uow.sessions.present(digest_of(refresh_token))
            if shown is not None:
                await self._end(uow, shown.session.user_id, shown.session.id)

    async def everywhere(self, user_id: UserId, *, but: SessionId | None) -> int:
        """End every session of one's own, except one; how many that were open."""
        now = self._clock.now()
        async with self._units.begin() as uow:
            ended = await uow.sessions.revoke_all(user_id, now, but=but)
            if ended:
                await uow.audit.append(
                    AuditEntry.by_person(
                        user_id,
                        AuditAction.SESSIONS_ENDED,
                        new_id=self._ids.new(),
                        details={"sessions": ended},
                        at=now,
                    )
                )
        return ended

    async def _end(self, uow: UnitOfWork, user_id: UserId, session_id: SessionId) -> bool:
        now = self._clock.now()
        if not await uow.sessions.revoke(session_id, user_id, now):
            return False
        await uow.audit.append(
            AuditEntry.by_person(
                user_id,
                AuditAction.SESSION_ENDED,
                new_id=self._ids.new(),
                details={"sessionId": encode(IdKind.SESSION, session_id)},
                at=now,
            )
        )
        return True
