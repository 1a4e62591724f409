"""Change one's own password, by the one before."""

from dataclasses import dataclass, field

from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidCredentials
from domain.identity.attempts import AttemptGuard
from domain.identity.passwords import PasswordHasher, can_be_a_password, check_password, normalized
from domain.ids import MailId, SessionId, UserId
from domain.messaging.mails import Mail, MailKind
from domain.messaging.webhook_events import WorkerBell
from domain.ports import Clock, IdSource, UnitsOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChange:
    """What is asked for. `address` is where the request came from."""

    current: str = field(repr=False)
    new: str = field(repr=False)
    address: str


class ChangePassword:
    """The act behind the mutation changePassword. It ends every other session of the user, and tells them by mail."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        passwords: PasswordHasher,
        guard: AttemptGuard,
        clock: Clock,
        ids: IdSource,
        bell: WorkerBell,
        password_length_min: int,
    ) -> None:
        self._units = units
        self._passwords = passwords
        self._guard = guard
        self._clock = clock
        self._ids = ids
        self._bell = bell
        self._length_min = password_length_min

    async def __call__(self, user_id: UserId, session_id: SessionId, wanted: PasswordChange) -> None:
        """Raises InvalidCredentials or WeakPassword, or RateLimited, and has changed nothing then."""
        path = ("input", "currentPassword")
        async with self._units.autocommit() as uow:
            credential = await uow.credentials.find(user_id)
        if credential is None:
            raise InvalidCredentials(path=path)
        user = credential.user
        new = check_password(
            wanted.new, length_min=self._length_min, path=("input", "newPassword"), about=(user.email, user.name)
        )
        # Whoever has stolen a session must not be able to try passwords in it: the tries count as those to sign in.
        await self._guard.prove(user.email, wanted.address)
        current = normalized(wanted.current)
        if not can_be_a_password(current) or not await self._passwords.verify(current, credential.password_hash):
            raise InvalidCredentials("The current password is wrong.", path=path)
        hashed, now = await self._passwords.hash(new), self._clock.now()
        async with self._units.begin() as uow:
            locked = await uow.credentials.lock(user_id)
            if locked is None or locked.password_hash != credential.password_hash:
                raise InvalidCredentials("The password was changed meanwhile.", path=path)
            await uow.credentials.set_password(user_id, hashed, now)
            await uow.one_time_tokens.remove_of(user_id)
            ended = await uow.sessions.revoke_all(user_id, now, but=session_id)
            await uow.audit.append(
                AuditEntry.by_person(
                    user_id,
                    AuditAction.PASSWORD_CHANGED,
                    new_id=self._ids.new(),
                    details={"sessionsEnded": ended},
                    at=now,
                )
            )
            await uow.mails.add(
                Mail(
                    id=MailId(self._ids.new()),
                    kind=MailKind.PASSWORD_CHANGED,
                    recipient=user.email,
                    user_id=user_id,
                    created_at=now,
                )
            )
        self._bell.ring()
        await self._guard.forgive(user.email)
