"""Prove that an address is one's own, by a link in a mail."""

from dataclasses import replace

from domain.access import Role
from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidToken
from domain.identity.attempts import AttemptGuard
from domain.identity.one_time import MAIL_MARK, OneTimeToken, Purpose, can_be_token, digest_of
from domain.identity.users import User
from domain.ids import MailId, UserId
from domain.messaging.mails import Mail, MailKind
from domain.messaging.webhook_events import WorkerBell
from domain.ports import Clock, EmailTaken, IdSource, UnitOfWork, UnitsOfWork


class RequestEmailVerification:
    """The act behind the mutation requestEmailVerification, for users whose address somebody else has entered."""

    def __init__(
        self, *, units: UnitsOfWork, guard: AttemptGuard, clock: Clock, ids: IdSource, bell: WorkerBell
    ) -> None:
        self._units = units
        self._guard = guard
        self._clock = clock
        self._ids = ids
        self._bell = bell

    async def __call__(self, user_id: UserId, address: str) -> str | None:
        """The address that a mail goes to; None where it is verified already. Raises RateLimited."""
        async with self._units.autocommit() as uow:
            user = await uow.users.get(user_id)
        if user is None or user.email_verified_at is not None:
            return None
        await self._guard.mail(user.email, address)
        now = self._clock.now()
        async with self._units.begin() as uow:
            await uow.mails.add(
                Mail(
                    id=MailId(self._ids.new()),
                    kind=MailKind.EMAIL_VERIFICATION,
                    recipient=user.email,
                    user_id=user_id,
                    created_at=now,
                )
            )
            await uow.audit.append(
                AuditEntry.by_person(
                    user_id,
                    AuditAction.EMAIL_VERIFICATION_REQUESTED,
                    new_id=self._ids.new(),
                    details={},
                    at=now,
                )
            )
        self._bell.ring()
        return user.email


class VerifyEmail:
    """The act behind the mutation verifyEmail: it ends a sign-up, or verifies a user's address. Nobody is signed in by it."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids

    async def __call__(self, token: str) -> str:
        """The address that is verified now. Raises InvalidToken."""
        path = ("input", "token")
        if not can_be_token(token, MAIL_MARK):
            raise InvalidToken(path=path)
        try:
            async with self._units.begin() as uow:
                found = await uow.one_time_tokens.find(digest_of(token), self._clock.now())
                email = None if found is None else await self._verify(uow, found)
        except EmailTaken:
            # Somebody has become a user with this address since; the mail they got says how to sign in.
            email = None
        if email is None:
            raise InvalidToken(path=path)
        return email

    async def _verify(self, uow: UnitOfWork, found: OneTimeToken) -> str | None:
        if found.purpose is Purpose.RESET_PASSWORD:
            return None
        if await uow.one_time_tokens.take(found.digest, self._clock.now()) is None:
            return None
        return await (self._sign_up(uow, found) if found.purpose is Purpose.SIGN_UP else self._known(uow, found))

    async def _sign_up(self, uow: UnitOfWork, found: OneTimeToken) -> str | None:
        sign_up = None if found.sign_up_id is None else await uow.one_time_tokens.find_sign_up(found.sign_up_id)
        if sign_up is None:
            return None
        now = self._clock.now()
        user = User(
            id=UserId(self._ids.new()),
            email=sign_up.email,
            name=sign_up.name,
            role=Role.CUSTOMER,
            created_at=now,
            email_verified_at=now,
        )
        await uow.users.add(user)
        await uow.credentials.set_password(user.id, sign_up.password_hash, now)
        await uow.one_time_tokens.remove_sign_ups(sign_up.email)
        await uow.audit.append(
            AuditEntry.by_person(user.id, AuditAction.USER_SIGNED_UP, new_id=self._ids.new(), details={}, at=now)
        )
        return user.email

    async def _known(self, uow: UnitOfWork, found: OneTimeToken) -> str | None:
        locked = None if found.user_id is None else await uow.credentials.lock(found.user_id)
        if locked is None or locked.user.disabled_at is not None:
            return None
        now = self._clock.now()
        await uow.users.save(replace(locked.user, email_verified_at=locked.user.email_verified_at or now))
        await uow.audit.append(
            AuditEntry.by_person(locked.user.id, AuditAction.EMAIL_VERIFIED, new_id=self._ids.new(), details={}, at=now)
        )
        return locked.user.email
