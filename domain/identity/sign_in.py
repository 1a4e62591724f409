"""Sign in with an address and a password."""

from dataclasses import dataclass, field

from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidCode, InvalidCredentials, SecondFactorRequired
from domain.identity.attempts import AttemptGuard
from domain.identity.credentials import Credential
from domain.identity.open_session import OpenSession
from domain.identity.passwords import PasswordHasher, can_be_a_password, normalized
from domain.identity.prove_second_factor import ProveSecondFactor
from domain.identity.sessions import OpenedSession
from domain.ids import IdKind, UserId, encode
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignIn:
    """What is asked for. `address` is where the request came from, `client` what the program called itself."""

    email: str
    password: str = field(repr=False)
    code: str | None = field(default=None, repr=False)
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
        prove_second_factor: ProveSecondFactor,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._units = units
        self._passwords = passwords
        self._guard = guard
        self._open_session = open_session
        self._prove_second_factor = prove_second_factor
        self._clock = clock
        self._ids = ids

    async def __call__(self, wanted: NewSignIn) -> OpenedSession:
        """A new session. Raises InvalidCredentials, or RateLimited before any work is done.

        Where the account has a second factor: SecondFactorRequired for the right password without a code, which does not count
        as a try, and InvalidCode, which does.
        """
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
        try:
            opened = await self._open(credential, hashed, renewed, wanted)
        except SecondFactorRequired:
            await self._guard.forgive(email)
            raise
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
            proved = await self._proved(uow, user_id, wanted.code)
            opened = await self._open_session(uow, user_id, client=wanted.client, second_factor=proved)
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

    async def _proved(self, uow: UnitOfWork, user_id: UserId, code: str | None) -> bool:
        """Whether a second factor was proved; False where there is none."""
        factor = await uow.second_factors.find(user_id)
        if factor is None or factor.confirmed_at is None:
            return False
        if code is None:
            raise SecondFactorRequired(path=("input", "code"))
        if not await self._prove_second_factor(uow, factor, code):
            raise InvalidCode(path=("input", "code"))
        return True
