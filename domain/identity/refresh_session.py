"""Go on with a session: a refresh token for the next one."""

from dataclasses import replace

from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidRefreshToken
from domain.identity.one_time import REFRESH_MARK, can_be_token, digest_of, new_token
from domain.identity.sessions import OpenedSession, PresentedToken, SessionTimes
from domain.ids import AuditEntryId, IdKind, encode
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork


class RefreshSession:
    """The act behind the mutation refreshSession.

    A token that is shown a second time was copied: by whoever shows it now, or by whoever showed it first. Nobody can tell
    which, and so the whole session ends for both (RFC 9700, section 4.14.2). It makes no difference whether the two come a
    week apart or at once. A client that repeats a refresh because its answer got lost cannot be told from a thief either: it
    signs in again, and keeps several tabs from refreshing at once (docs/sign-in.md).
    """

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource, times: SessionTimes) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids
        self._times = times

    async def __call__(self, token: str) -> OpenedSession:
        """The session with its next token. Raises InvalidRefreshToken."""
        path = ("input", "refreshToken")
        if not can_be_token(token, REFRESH_MARK):
            raise InvalidRefreshToken(path=path)
        # The refusal is raised when the unit of work has committed: what it has ended must stay ended.
        async with self._units.begin() as uow:
            refreshed = await self._refresh(uow, token)
        if refreshed is None:
            raise InvalidRefreshToken(path=path)
        return refreshed

    async def _refresh(self, uow: UnitOfWork, token: str) -> OpenedSession | None:
        now, digest = self._clock.now(), digest_of(token)
        shown = await uow.sessions.present(digest)
        if shown is None or not shown.session.is_open(now):
            return None
        session = shown.session
        if shown.used_at is not None:
            await self._end_family(uow, shown)
            return None
        user = await uow.users.get(session.user_id)
        if user is None or user.disabled_at is not None:
            return None
        following, ends = new_token(REFRESH_MARK), self._times.end(session.created_at, now)
        await uow.sessions.use_token(digest, now)
        await uow.sessions.add_token(digest_of(following), session.id, now)
        await uow.sessions.extend(session.id, now, ends)
        await uow.audit.append(
            AuditEntry.by_person(
                user.id,
                AuditAction.SESSION_REFRESHED,
                new_id=self._ids.new(),
                details={"sessionId": encode(IdKind.SESSION, session.id)},
                at=now,
            )
        )
        return OpenedSession(replace(session, last_used_at=now, expires_at=ends), following)

    async def _end_family(self, uow: UnitOfWork, shown: PresentedToken) -> None:
        session, now = shown.session, self._clock.now()
        await uow.sessions.revoke(session.id, session.user_id, now)
        await uow.audit.append(
            AuditEntry.by_system(
                AuditAction.SESSION_TOKEN_REUSED,
                new_id=AuditEntryId(self._ids.new()),
                details={
                    "userId": encode(IdKind.USER, session.user_id),
                    "sessionId": encode(IdKind.SESSION, session.id),
                },
                at=now,
            )
        )
