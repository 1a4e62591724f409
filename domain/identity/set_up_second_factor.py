"""Set up a second factor, confirm it, and turn it off."""

from domain.audit import AuditAction, AuditEntry
from domain.errors import AlreadyEnabled, Forbidden, InvalidCode, InvalidCredentials, NotEnabled
from domain.identity.attempts import AttemptGuard
from domain.identity.passwords import PasswordHasher, can_be_a_password, normalized
from domain.identity.prove_second_factor import ProveSecondFactor
from domain.identity.second_factor import (
    NewSecondFactor,
    Sealer,
    SecondFactor,
    is_totp_code,
    new_recovery_codes,
    new_secret,
    recovery_digest,
    shown,
    tidied,
)
from domain.identity.users import User
from domain.ids import AuditEntryId, IdKind, SessionId, UserId, encode
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork

_CODE_PATH = ("input", "code")


class SetUpSecondFactor:
    """The acts behind beginSecondFactor, confirmSecondFactor and disableSecondFactor.

    Whoever has stolen a session must not be able to lock its owner out: setting up takes the password, where there is one, and
    turning off takes a code. Tries count as those to sign in.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        passwords: PasswordHasher,
        guard: AttemptGuard,
        sealer: Sealer | None,
        clock: Clock,
        ids: IdSource,
        issuer: str,
    ) -> None:
        self._units = units
        self._passwords = passwords
        self._guard = guard
        self._sealer = sealer
        self._prove = ProveSecondFactor(sealer=sealer, clock=clock, ids=ids)
        self._clock = clock
        self._ids = ids
        self._issuer = issuer

    async def begin(self, user_id: UserId, password: str | None, address: str) -> NewSecondFactor:
        """A factor that counts once it is confirmed. Raises Forbidden where none can be kept, or a Refusal, or RateLimited."""
        if self._sealer is None:
            raise Forbidden("No second factor can be set up here: AUTH_ENCRYPTION_KEY is not set.")
        async with self._units.autocommit() as uow:
            credential = await uow.credentials.find(user_id)
        if credential is None:
            raise Forbidden
        if credential.password_hash is not None:
            await self._guard.prove(credential.user.email, address)
            given = normalized(password or "")
            if not can_be_a_password(given) or not await self._passwords.verify(given, credential.password_hash):
                raise InvalidCredentials("The password is wrong.", path=("input", "password"))
            await self._guard.forgive(credential.user.email)
        secret = new_secret()
        async with self._units.begin() as uow:
            await uow.users.lock(user_id)
            known = await uow.second_factors.find(user_id)
            if known is not None and known.confirmed_at is not None:
                raise AlreadyEnabled
            sealed = self._sealer.seal(secret, user_id)
            await uow.second_factors.put(
                SecondFactor(user_id=user_id, sealed_secret=sealed, created_at=self._clock.now())
            )
        return shown(secret, account=credential.user.email, issuer=self._issuer)

    async def confirm(self, user_id: UserId, session_id: SessionId, code: str, address: str) -> list[str]:
        """The recovery codes, once. The session counts as proved from now on, and every other one ends. Raises a Refusal."""
        user = await self._guarded(user_id, address)
        code, codes, now = tidied(code), new_recovery_codes(), self._clock.now()
        async with self._units.begin() as uow:
            await uow.users.lock(user_id)
            factor = await uow.second_factors.find(user_id)
            if factor is None:
                raise NotEnabled
            if factor.confirmed_at is not None:
                raise AlreadyEnabled
            step = self._prove.step(factor, code) if is_totp_code(code) else None
            if step is None:
                raise InvalidCode(path=_CODE_PATH)
            await uow.second_factors.confirm(user_id, now, step)
            await uow.second_factors.put_codes(user_id, [recovery_digest(each) for each in codes])
            await uow.second_factors.mark_session(session_id, second_factor=True)
            await self._changed(uow, user_id, session_id, AuditAction.SECOND_FACTOR_ENABLED)
        await self._guard.forgive(user.email)
        return codes

    async def disable(self, user_id: UserId, session_id: SessionId, code: str, address: str) -> None:
        """Turn it off, by a code of the app or a recovery code. Raises a Refusal."""
        user = await self._guarded(user_id, address)
        async with self._units.begin() as uow:
            await uow.users.lock(user_id)
            factor = await uow.second_factors.find(user_id)
            if factor is None or factor.confirmed_at is None:
                raise NotEnabled
            if not await self._prove(uow, factor, code):
                raise InvalidCode(path=_CODE_PATH)
            await uow.second_factors.remove(user_id)
            await uow.second_factors.mark_session(session_id, second_factor=False)
            await self._changed(uow, user_id, session_id, AuditAction.SECOND_FACTOR_DISABLED)
        await self._guard.forgive(user.email)

    async def remove(self, user: User) -> bool:
        """Turn it off for somebody who has lost everything: what an operator does on the command line. False if there is none."""
        now = self._clock.now()
        async with self._units.begin() as uow:
            await uow.users.lock(user.id)
            if await uow.second_factors.find(user.id) is None:
                return False
            await uow.second_factors.remove(user.id)
            await uow.sessions.revoke_all(user.id, now)
            await uow.audit.append(
                AuditEntry.by_system(
                    AuditAction.SECOND_FACTOR_DISABLED,
                    new_id=AuditEntryId(self._ids.new()),
                    details={"userId": encode(IdKind.USER, user.id)},
                    at=now,
                )
            )
        return True

    async def _guarded(self, user_id: UserId, address: str) -> User:
        """Six digits are quickly tried through: each try counts before it is looked at."""
        async with self._units.autocommit() as uow:
            user = await uow.users.get(user_id)
        if user is None:
            raise Forbidden
        await self._guard.prove(user.email, address)
        return user

    async def _changed(self, uow: UnitOfWork, user_id: UserId, session_id: SessionId, action: AuditAction) -> None:
        now = self._clock.now()
        ended = await uow.sessions.revoke_all(user_id, now, but=session_id)
        await uow.audit.append(
            AuditEntry.by_person(user_id, action, new_id=self._ids.new(), details={"sessionsEnded": ended}, at=now)
        )
