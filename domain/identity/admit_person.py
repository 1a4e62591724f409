"""Let somebody in for whom an identity provider vouches: find, link or create the user they are here."""

from collections.abc import Mapping
from dataclasses import replace

from domain.access import Role, lesser
from domain.audit import AuditAction, AuditEntry
from domain.errors import NotAdmitted
from domain.identity.create_user import NAME_LENGTH_MAX
from domain.identity.providers import AdmissionPolicy, Identity, Vouched, VouchedHolder
from domain.identity.users import User
from domain.ids import AuditEntryId, IdKind, UserId, encode
from domain.ports import Clock, EmailTaken, IdSource, UnitOfWork, UnitsOfWork
from domain.text import JsonValue, looks_like_card_number

_TRIES = 2


class _Overtaken(Exception):
    """Another request has let the same person in meanwhile."""


class AdmitPerson:
    """The act behind whatever a provider vouches with: access tokens, and signing in.

    Whoever is known by issuer and subject is that user, whatever their address is by now. Anybody else needs an address that
    the provider has verified, and gets a user of their own by it. Where the address belongs to a user already, they are that
    user only if the settings trust this provider with addresses, and only if the provider gives at least the role that the
    user has: so no provider can make itself an administrator by an address.
    """

    def __init__(
        self, *, units: UnitsOfWork, clock: Clock, ids: IdSource, policies: Mapping[str, AdmissionPolicy]
    ) -> None:
        """`policies` are by the provider's name."""
        self._units = units
        self._clock = clock
        self._ids = ids
        self._policies = policies

    async def __call__(self, vouched: Vouched) -> VouchedHolder:
        """Who it is here. Raises NotAdmitted, and has changed nothing then."""
        for _ in range(_TRIES):
            try:
                async with self._units.begin() as uow:
                    return await self._known(uow, vouched) or await self._first_seen(uow, vouched)
            except (EmailTaken, _Overtaken):
                continue
        raise NotAdmitted

    async def _known(self, uow: UnitOfWork, vouched: Vouched) -> VouchedHolder | None:
        found = await uow.identities.lock(vouched.issuer, vouched.subject)
        if found is None:
            return None
        identity, user = found
        if user.disabled_at is not None:
            raise NotAdmitted
        holder = _holder(user, identity)
        if vouched.role is None or not holder.learns_from(vouched):
            return holder
        identity = replace(identity, granted_role=vouched.role, granted_at=vouched.issued_at)
        await uow.identities.grant(identity)
        if user.role is not vouched.role:
            await uow.users.save(replace(user, role=vouched.role))
            details: dict[str, JsonValue] = {"from": user.role.value, "to": vouched.role.value}
            await self._audit(uow, AuditAction.USER_ROLE_GRANTED, vouched, user.id, details)
        return _holder(replace(user, role=vouched.role), identity)

    async def _first_seen(self, uow: UnitOfWork, vouched: Vouched) -> VouchedHolder:
        email, policy = vouched.verified_email, self._policies[vouched.provider]
        if email is None:
            raise NotAdmitted(
                "Your identity provider does not say that it has verified your email address, so that no account can be made."
            )
        user = await uow.users.lock_by_email(email)
        if user is None:
            return await self._create(uow, vouched, email, policy)
        # Whoever has just been let in by another request has that address, and is known by now.
        return await self._known(uow, vouched) or await self._link(uow, vouched, user, policy)

    async def _create(self, uow: UnitOfWork, vouched: Vouched, email: str, policy: AdmissionPolicy) -> VouchedHolder:
        if not policy.creates_users:
            raise NotAdmitted("You have no account here. Ask an administrator for one.")
        now = self._clock.now()
        user = User(
            id=UserId(self._ids.new()),
            email=email,
            name=_shown(vouched.name) or email[:NAME_LENGTH_MAX],
            role=vouched.role or Role.CUSTOMER,
            created_at=now,
            email_verified_at=now,
        )
        await uow.users.add(user)
        return await self._know(uow, vouched, user, AuditAction.USER_ADMITTED)

    async def _link(self, uow: UnitOfWork, vouched: Vouched, user: User, policy: AdmissionPolicy) -> VouchedHolder:
        granted = vouched.role or Role.CUSTOMER
        if not policy.links_by_email or user.disabled_at is not None or lesser(user.role, granted) is not user.role:
            raise NotAdmitted("There is an account with your address already. Sign in to it as you did before.")
        if user.role is not granted or user.email_verified_at is None:
            user = replace(user, role=granted, email_verified_at=user.email_verified_at or self._clock.now())
            await uow.users.save(user)
        return await self._know(uow, vouched, user, AuditAction.IDENTITY_LINKED)

    async def _know(self, uow: UnitOfWork, vouched: Vouched, user: User, action: AuditAction) -> VouchedHolder:
        identity = Identity(
            issuer=vouched.issuer,
            subject=vouched.subject,
            user_id=user.id,
            granted_role=vouched.role,
            granted_at=vouched.issued_at,
            created_at=self._clock.now(),
        )
        if not await uow.identities.add(identity):
            raise _Overtaken
        await self._audit(uow, action, vouched, user.id, {"role": user.role.value})
        return _holder(user, identity)

    async def _audit(
        self, uow: UnitOfWork, action: AuditAction, vouched: Vouched, user_id: UserId, details: Mapping[str, JsonValue]
    ) -> None:
        # Without the subject, which at some providers is an address: what stands here stands for ever.
        told = {"userId": encode(IdKind.USER, user_id), "provider": vouched.provider, "issuer": vouched.issuer}
        entry = AuditEntry.by_system(
            action, new_id=AuditEntryId(self._ids.new()), details={**told, **details}, at=self._clock.now()
        )
        await uow.audit.append(entry)


def _holder(user: User, identity: Identity) -> VouchedHolder:
    return VouchedHolder(user.id, user.role, identity.granted_role, identity.granted_at)


def _shown(name: str | None) -> str | None:
    """The name, as far as it can be stored and shown."""
    if name is None:
        return None
    shown = "".join(character for character in name if character.isprintable()).strip()[:NAME_LENGTH_MAX]
    return None if looks_like_card_number(shown) else shown or None
