"""Send the mails that wait: make the token, write the letter, hand it over, and note what came of it."""

from dataclasses import dataclass
from datetime import timedelta

from domain.audit import AuditAction, AuditEntry
from domain.identity.one_time import LIFETIMES, MAIL_MARK, OneTimeToken, Purpose, digest_of, new_token
from domain.identity.users import User
from domain.ids import AuditEntryId, IdKind, SignUpId, UserId, encode
from domain.messaging import letters
from domain.messaging.letters import LetterConfig
from domain.messaging.mails import GIVEN_UP_AFTER, Letter, Mail, Mailer, MailKind, MailNotSent, MailState
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork

_PAUSE_MIN = timedelta(seconds=5)
_PAUSE_MAX = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sending:
    """How a mail stands after a try to send it, and why it was not sent, without its address."""

    state: MailState
    reason: str | None


class SendMails:
    """Takes mails to their end. One that was sent when the process died is sent again, with another token; both hold."""

    def __init__(
        self, *, units: UnitsOfWork, mailer: Mailer, clock: Clock, ids: IdSource, config: LetterConfig
    ) -> None:
        self._units = units
        self._mailer = mailer
        self._clock = clock
        self._ids = ids
        self._config = config

    async def claim(self, limit: int) -> list[Mail]:
        """Claim mails that are due."""
        async with self._units.autocommit() as uow:
            return await uow.mails.claim_due(limit)

    async def send(self, mail: Mail) -> Sending:
        """Send a claimed mail; how it stands then."""
        async with self._units.begin() as uow:
            letter = await self._write(uow, mail)
        if letter is None:
            return await self._settle(mail, MailState.SKIPPED, None)
        try:
            await self._mailer.send(letter)
        except MailNotSent as error:
            if error.for_good or self._clock.now() - mail.created_at > GIVEN_UP_AFTER:
                return await self._settle(mail, MailState.FAILED, str(error))
            async with self._units.autocommit() as uow:
                await uow.mails.defer(mail, _pause(mail.tries), str(error))
            return Sending(MailState.WAITING, str(error))
        return await self._settle(mail, MailState.SENT, None)

    async def _settle(self, mail: Mail, state: MailState, reason: str | None) -> Sending:
        async with self._units.autocommit() as uow:
            await uow.mails.settle(mail, state, reason, self._clock.now())
        return Sending(state, reason)

    async def _write(self, uow: UnitOfWork, mail: Mail) -> Letter | None:
        """The letter, with a fresh token whose hash is stored first; None where there is nothing to say to anybody."""
        user = await uow.users.get_by_email(mail.recipient)
        match mail.kind:
            case MailKind.SIGN_UP:
                return await self._sign_up(uow, mail, user)
            case MailKind.PASSWORD_RESET:
                if user is None or user.disabled_at is not None:
                    return None
                token = await self._token(uow, Purpose.RESET_PASSWORD, user_id=user.id)
                await self._audit_reset(uow, user)
                return letters.reset_letter(mail, token, self._config)
            case MailKind.EMAIL_VERIFICATION:
                if user is None or user.id != mail.user_id or user.email_verified_at is not None:
                    return None
                token = await self._token(uow, Purpose.VERIFY_EMAIL, user_id=user.id)
                return letters.verification_letter(mail, token, self._config)
            case MailKind.PASSWORD_CHANGED:
                return letters.password_changed_letter(mail, self._config)

    async def _sign_up(self, uow: UnitOfWork, mail: Mail, user: User | None) -> Letter | None:
        if user is not None:
            return letters.known_sign_up_letter(mail, self._config)
        sign_up = None if mail.sign_up_id is None else await uow.one_time_tokens.find_sign_up(mail.sign_up_id)
        if sign_up is None or sign_up.expires_at <= self._clock.now():
            return None
        token = await self._token(uow, Purpose.SIGN_UP, sign_up_id=sign_up.id)
        return letters.sign_up_letter(mail, token, self._config)

    async def _token(
        self, uow: UnitOfWork, purpose: Purpose, *, sign_up_id: SignUpId | None = None, user_id: UserId | None = None
    ) -> str:
        token, now = new_token(MAIL_MARK), self._clock.now()
        await uow.one_time_tokens.add(
            OneTimeToken(
                digest=digest_of(token),
                purpose=purpose,
                sign_up_id=sign_up_id,
                user_id=user_id,
                created_at=now,
                expires_at=now + LIFETIMES[purpose],
            )
        )
        return token

    async def _audit_reset(self, uow: UnitOfWork, user: User) -> None:
        await uow.audit.append(
            AuditEntry.by_system(
                AuditAction.PASSWORD_RESET_REQUESTED,
                new_id=AuditEntryId(self._ids.new()),
                details={"userId": encode(IdKind.USER, user.id)},
                at=self._clock.now(),
            )
        )


def _pause(tries: int) -> timedelta:
    """How long after a try the next comes: twice as long each time, up to an hour."""
    doubled: timedelta = _PAUSE_MIN * 2 ** min(tries, 12)
    return min(doubled, _PAUSE_MAX)
