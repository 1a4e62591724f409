"""Begin a session for somebody who has proved who they are."""

from domain.identity.one_time import REFRESH_MARK, digest_of, new_token
from domain.identity.sessions import OpenedSession, Session, SessionKind, SessionTimes
from domain.ids import SessionId, UserId
from domain.ports import Clock, IdSource, UnitOfWork

CLIENT_LENGTH_MAX = 200


class OpenSession:
    """A part of the acts that sign somebody in; it writes in their unit of work."""

    def __init__(self, *, clock: Clock, ids: IdSource, times: SessionTimes) -> None:
        self._clock = clock
        self._ids = ids
        self._times = times

    async def __call__(
        self, uow: UnitOfWork, user_id: UserId, *, client: str | None, second_factor: bool
    ) -> OpenedSession:
        now = self._clock.now()
        session = Session(
            id=SessionId(self._ids.new()),
            user_id=user_id,
            kind=SessionKind.SIGN_IN,
            second_factor=second_factor,
            client=_shown(client),
            created_at=now,
            last_used_at=now,
            expires_at=self._times.end(now, now),
        )
        token = new_token(REFRESH_MARK)
        await uow.sessions.add(session)
        await uow.sessions.add_token(digest_of(token), session.id, now)
        return OpenedSession(session, token)


def _shown(client: str | None) -> str | None:
    """What a program calls itself, as far as it can be stored and shown."""
    if client is None:
        return None
    return "".join(c for c in client if c.isprintable()).strip()[:CLIENT_LENGTH_MAX] or None
