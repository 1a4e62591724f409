"""Users, for those who look after them: who there is, and the mutations of administrators."""

from datetime import datetime
from typing import Annotated

import strawberry

from api.graphql.context import Info
from api.graphql.mutations import ERRORS, outcome_of
from api.graphql.paging import After, Before, Connection, First, Last, Ordering, connection, page_request
from api.graphql.problems import UserError
from api.graphql.rules import needs
from api.graphql.users import User, user_type
from domain import ids
from domain.access import Capability, Role
from domain.errors import BadInput, Refusal
from domain.identity.administer_users import UserChange
from domain.identity.queries import ANY_USER
from domain.identity.queries import UserFilter as Filter
from domain.identity.users import User as UserRecord
from domain.ids import IdKind, UserId
from domain.text import check_text

NEWEST_FIRST = Ordering("users", datetime)
TEXT_LENGTH_MAX = 255

_USER = "The user as they are now; null when the input was refused."
_REASON = "Why, for the audit log: 1 to 500 characters."


@strawberry.input(description="Which users a list holds; all conditions must hold.")
class UserFilter:
    """The domain's filter as it comes in."""

    text: str | None = strawberry.field(
        default=None, description="Stands somewhere in the name or the address; case does not count."
    )
    role: list[Role] | None = strawberry.field(default=None, description="Of one of these roles.")
    disabled: bool | None = strawberry.field(
        default=None, description="True for those that are disabled, false for those that can sign in."
    )

    def to_filter(self) -> Filter:
        """Raises BadInput for a text that cannot be searched for."""
        try:
            check_text(self.text or "", path=("filter", "text"), length_max=TEXT_LENGTH_MAX)
        except Refusal as error:
            raise BadInput(f"filter.text: {error.message}") from error
        return Filter(
            text=self.text or None,
            roles=None if self.role is None else frozenset(self.role),
            disabled=self.disabled,
        )


@strawberry.type
class UserQueries:
    """The queries of users."""

    @strawberry.field(description="Everybody, the newest first. For staff.", metadata=needs(Capability.USERS_READ))
    async def users(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[UserFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> Connection[User]:
        actor = info.context.require_actor()
        where = ANY_USER if filter is None else filter.to_filter()
        page = page_request(first, after, last, before, ordering=NEWEST_FIRST)
        reader = info.context.readers.identity
        return connection(
            await reader.users(actor, where, page),
            NEWEST_FIRST,
            user_type,
            lambda: reader.count_users(actor, where),
        )


@strawberry.input(description="Another role for a user.")
class ChangeUserRoleInput:
    """What changeUserRole takes."""

    user_id: strawberry.ID = strawberry.field(description="Whose; not your own.")
    role: Role = strawberry.field(description="The role they have from now on.")
    reason: str = strawberry.field(description=_REASON)


@strawberry.type(description="What came of changeUserRole.")
class ChangeUserRolePayload:
    """The user with the role."""

    user: User | None = strawberry.field(description=_USER)
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A user who is to be kept out.")
class DisableUserInput:
    """What disableUser takes."""

    user_id: strawberry.ID = strawberry.field(description="Whom; not yourself.")
    reason: str = strawberry.field(description=_REASON)


@strawberry.type(description="What came of disableUser.")
class DisableUserPayload:
    """The user, disabled."""

    user: User | None = strawberry.field(description=_USER)
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A user who is to be let in again.")
class EnableUserInput:
    """What enableUser takes."""

    user_id: strawberry.ID = strawberry.field(description="Whom.")
    reason: str = strawberry.field(description=_REASON)


@strawberry.type(description="What came of enableUser.")
class EnableUserPayload:
    """The user, enabled."""

    user: User | None = strawberry.field(description=_USER)
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class UserMutations:
    """The mutations of administrators about users."""

    @strawberry.mutation(
        description="Give a user another role. Every session of theirs ends. For administrators.",
        metadata=needs(Capability.USERS_MANAGE),
    )
    async def change_user_role(
        self,
        info: Info,
        input: Annotated[ChangeUserRoleInput, strawberry.argument(description="Who, and which role.")],
    ) -> ChangeUserRolePayload:
        context = info.context
        act = context.acts.administer_users.change_role
        wanted = _wanted(input.user_id, input.reason)
        user, errors = await outcome_of(context, act(context.require_actor(), wanted, input.role))
        return ChangeUserRolePayload(user=_shown(user), errors=errors)

    @strawberry.mutation(
        description="Keep a user out: every session ends, API keys are refused, and nobody signs in with the account. For "
        "administrators.",
        metadata=needs(Capability.USERS_MANAGE),
    )
    async def disable_user(
        self,
        info: Info,
        input: Annotated[DisableUserInput, strawberry.argument(description="Whom.")],
    ) -> DisableUserPayload:
        context = info.context
        act = context.acts.administer_users.disable
        user, errors = await outcome_of(context, act(context.require_actor(), _wanted(input.user_id, input.reason)))
        return DisableUserPayload(user=_shown(user), errors=errors)

    @strawberry.mutation(
        description="Let a user in again who was disabled, and their API keys. For administrators.",
        metadata=needs(Capability.USERS_MANAGE),
    )
    async def enable_user(
        self,
        info: Info,
        input: Annotated[EnableUserInput, strawberry.argument(description="Whom.")],
    ) -> EnableUserPayload:
        context = info.context
        act = context.acts.administer_users.enable
        user, errors = await outcome_of(context, act(context.require_actor(), _wanted(input.user_id, input.reason)))
        return EnableUserPayload(user=_shown(user), errors=errors)


def _wanted(user_id: str, reason: str) -> UserChange:
    value = ids.decode_as(IdKind.USER, user_id)
    return UserChange(user_id=None if value is None else UserId(value), reason=reason)


def _shown(user: UserRecord | None) -> User | None:
    return None if user is None else user_type(user)
