"""Sign in with an address and a password."""

from dataclasses import dataclass, field

from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidCredentials
from domain.identity.attempts import AttemptGuard
from domain.identity.credentials import Credential
from domain.identity.open_session import OpenSession
from domain.identity.passwords import PasswordHasher, can_be_a_password, normalized
from domain.identity.sessions import OpenedSession
from domain.ids import IdKind, encode
from domain.ports import Clock, IdSource, UnitsOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignIn:
    """What is asked for. `address` is where the request came from, `client` what the program called itself."""

    email: str
    password: str = field(repr=False)
    address: str
    client: str | None


class SignIn:
    """The act behind the mutation signIn.

    An address that nobody has, a wrong password and a disabled user get the same answer after the same work: one read and one
    hash.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        passwords: PasswordHasher,
        guard: AttemptGuard,
        open_session: OpenSession,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._units = units
        self._passwords = passwords
        self._guard = guard
        self._open_session = open_session
        self._clock = clock
        self._ids = ids

    async def __call__(self, wanted: NewSignIn) -> OpenedSession:
        """A new session. Raises InvalidCredentials, or RateLimited before any work is done."""
        email, password = wanted.email.strip(), normalized(wanted.password)
        await self._guard.prove(email, wanted.address)
        if not can_be_a_password(password):
            raise InvalidCredentials
        async with self._units.autocommit() as uow:
            credential = await uow.credentials.find_by_email(email)
        hashed = None if credential is None else credential.password_hash
        right = await self._passwords.verify(password, hashed)
        if credential is None or hashed is None or not right or credential.user.disabled_at is not None:
            raise InvalidCredentials
        renewed = await self._passwords.hash(password) if self._passwords.is_outdated(hashed) else None
        opened = await self._open(credential, hashed, renewed, wanted)
        await self._guard.forgive(email)
        return opened

    async def _open(self, credential: Credential, hashed: str, renewed: str | None, wanted: NewSignIn) -> OpenedSession:
        user_id, now = credential.user.id, self._clock.now()
        async with self._units.begin() as uow:
            # Under lock: whoever changes the password or disables the user ends the sessions there are, and this one must
            # not begin a moment later.
            current = await uow.credentials.lock(user_id)
            if current is None or current.password_hash != hashed or current.user.disabled_at is not None:
                raise InvalidCredentials
            if renewed is not None:
                await uow.credentials.set_password(user_id, renewed, now)
            opened = await self._open_session(uow, user_id, client=wanted.client, second_factor=False)
            await uow.audit.append(
                AuditEntry.by_person(
                    user_id,
                    AuditAction.SESSION_STARTED,
                    new_id=self._ids.new(),
                    details={"sessionId": encode(IdKind.SESSION, opened.session.id), "address": wanted.address},
                    at=now,
                )
            )
        return opened
