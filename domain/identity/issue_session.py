"""Begin a session for somebody without asking them: what an operator does on the command line."""

from datetime import timedelta

from domain.audit import AuditAction, AuditEntry
from domain.identity.sessions import Session, SessionKind
from domain.ids import AuditEntryId, IdKind, SessionId, UserId, encode
from domain.ports import Clock, IdSource, UnitsOfWork


class IssueSession:
    """The act behind `florin token`. Whoever may run it holds the signing key, and with it every right there is."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids

    async def __call__(self, user_id: UserId, lifetime: timedelta) -> Session:
        now = self._clock.now()
        session = Session(
            id=SessionId(self._ids.new()),
            user_id=user_id,
            kind=SessionKind.COMMAND_LINE,
            second_factor=True,
            created_at=now,
            last_used_at=now,
            expires_at=now + lifetime,
        )
        async with self._units.begin() as uow:
            await uow.sessions.add(session)
            await uow.audit.append(
                AuditEntry.by_system(
                    AuditAction.SESSION_ISSUED,
                    new_id=AuditEntryId(self._ids.new()),
                    details={
                        "userId": encode(IdKind.USER, user_id),
                        "sessionId": encode(IdKind.SESSION, session.id),
                        "expiresAt": session.expires_at.isoformat(),
                    },
                    at=now,
                )
            )
        return session
