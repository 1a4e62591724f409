"""Set a password anew, by a link in a mail: for whoever forgot it, or never had one."""

from dataclasses import replace

from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidToken
from domain.identity.addresses import check_email
from domain.identity.attempts import AttemptGuard
from domain.identity.one_time import MAIL_MARK, Purpose, can_be_token, digest_of
from domain.identity.passwords import PasswordHasher, check_password
from domain.ids import MailId
from domain.messaging.mails import Mail, MailKind
from domain.messaging.webhook_events import WorkerBell
from domain.ports import Clock, IdSource, UnitsOfWork


class RequestPasswordReset:
    """The act behind the mutation requestPasswordReset.

    It never looks whether the address belongs to a user, and so cannot tell: whoever sends the mail looks.
    """

    def __init__(
        self, *, units: UnitsOfWork, guard: AttemptGuard, clock: Clock, ids: IdSource, bell: WorkerBell
    ) -> None:
        self._units = units
        self._guard = guard
        self._clock = clock
        self._ids = ids
        self._bell = bell

    async def __call__(self, email: str, address: str) -> str:
        """The address that a mail goes to, if it is a user's. Raises InvalidEmail, or RateLimited."""
        email = check_email(email)
        await self._guard.mail(email, address)
        mail = Mail(
            id=MailId(self._ids.new()),
            kind=MailKind.PASSWORD_RESET,
            recipient=email,
            created_at=self._clock.now(),
        )
        async with self._units.autocommit() as uow:
            await uow.mails.add(mail)
        self._bell.ring()
        return email


class ResetPassword:
    """The act behind the mutation resetPassword. It ends every session of the user; the second factor stays as it is."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        passwords: PasswordHasher,
        clock: Clock,
        ids: IdSource,
        bell: WorkerBell,
        password_length_min: int,
    ) -> None:
        self._units = units
        self._passwords = passwords
        self._clock = clock
        self._ids = ids
        self._bell = bell
        self._length_min = password_length_min

    async def __call__(self, token: str, password: str) -> None:
        """Raises InvalidToken or WeakPassword, and has changed nothing then: the link holds still."""
        path = ("input", "token")
        if not can_be_token(token, MAIL_MARK):
            raise InvalidToken(path=path)
        digest = digest_of(token)
        async with self._units.autocommit() as uow:
            found = await uow.one_time_tokens.find(digest, self._clock.now())
            user = None if found is None or found.user_id is None else await uow.users.get(found.user_id)
        if found is None or user is None or found.purpose is not Purpose.RESET_PASSWORD:
            raise InvalidToken(path=path)
        password = check_password(
            password, length_min=self._length_min, path=("input", "newPassword"), about=(user.email, user.name)
        )
        hashed, now = await self._passwords.hash(password), self._clock.now()
        async with self._units.begin() as uow:
            locked = await uow.credentials.lock(user.id)
            if locked is None or locked.user.disabled_at is not None:
                raise InvalidToken(path=path)
            if await uow.one_time_tokens.take(digest, now) is None:
                raise InvalidToken(path=path)
            await uow.credentials.set_password(user.id, hashed, now)
            # The link came to the address, and back: it is the user's.
            await uow.users.save(replace(locked.user, email_verified_at=locked.user.email_verified_at or now))
            await uow.one_time_tokens.remove_of(user.id)
            ended = await uow.sessions.revoke_all(user.id, now)
            await uow.audit.append(
                AuditEntry.by_person(
                    user.id,
                    AuditAction.PASSWORD_RESET,
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
                    user_id=user.id,
                    created_at=now,
                )
            )
        self._bell.ring()
