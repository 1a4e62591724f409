"""What administrators do about users: another role, no access any more, access again."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from domain.access import Actor, Capability, Role
from domain.audit import AuditAction, AuditEntry
from domain.errors import Forbidden, NotFound, OwnAccount
from domain.identity.users import User
from domain.ids import IdKind, UserId, encode
from domain.ports import Clock, IdSource, UnitsOfWork
from domain.text import JsonValue, check_reason

REASON_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """Whom it is about, and why."""

    user_id: UserId | None
    reason: str


class AdministerUsers:
    """The acts behind changeUserRole, disableUser and enableUser.

    Whoever loses rights loses them at once: every session of theirs ends with the change. Nobody changes themselves, and whoever
    changes another must still be an administrator when it is written, under a lock on all of them: so of two who would
    take each other's role at once one remains.
    """

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids

    async def change_role(self, actor: Actor, wanted: UserChange, role: Role) -> User:
        """The user as they are then; nothing happens where they have the role. Raises Forbidden, or a Refusal."""
        return await self._change(
            actor,
            wanted,
            AuditAction.USER_ROLE_CHANGED,
            lambda user: replace(user, role=role),
            lambda user: {"from": user.role.value, "to": role.value},
        )

    async def disable(self, actor: Actor, wanted: UserChange) -> User:
        """The user, who can neither sign in nor use an API key from now on. Raises as `change_role` does."""
        now = self._clock.now()
        return await self._change(
            actor,
            wanted,
            AuditAction.USER_DISABLED,
            lambda user: replace(user, disabled_at=user.disabled_at or now),
            lambda _: {},
        )

    async def enable(self, actor: Actor, wanted: UserChange) -> User:
        """The user, who can sign in again; sessions that have ended stay so. Raises as `change_role` does."""
        return await self._change(
            actor, wanted, AuditAction.USER_ENABLED, lambda user: replace(user, disabled_at=None), lambda _: {}
        )

    async def _change(
        self,
        actor: Actor,
        wanted: UserChange,
        action: AuditAction,
        change: Callable[[User], User],
        told: Callable[[User], dict[str, JsonValue]],
    ) -> User:
        actor.require(Capability.USERS_MANAGE)
        check_reason(wanted.reason, length_max=REASON_LENGTH_MAX)
        path = ("input", "userId")
        if wanted.user_id is None:
            raise NotFound(path=path)
        if wanted.user_id == actor.user_id:
            raise OwnAccount(path=path)
        now = self._clock.now()
        async with self._units.begin() as uow:
            if actor.user_id not in await uow.users.lock_administrators():
                raise Forbidden("You are no administrator any more.")
            user = await uow.users.lock(wanted.user_id)
            if user is None:
                raise NotFound(path=path)
            changed = change(user)
            if changed == user:
                return user
            await uow.users.save(changed)
            await uow.one_time_tokens.remove_of(user.id)
            ended = await uow.sessions.revoke_all(user.id, now)
            await uow.audit.append(
                AuditEntry.by(
                    actor,
                    action,
                    new_id=self._ids.new(),
                    transaction_id=None,
                    details={
                        "userId": encode(IdKind.USER, user.id),
                        "reason": wanted.reason,
                        "sessionsEnded": ended,
                        **told(user),
                    },
                    at=now,
                )
            )
        return changed
