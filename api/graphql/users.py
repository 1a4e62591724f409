"""Users."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import strawberry

from api.graphql.batching import shown
from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, Ordering, connections, page_request
from api.graphql.sessions import Session
from api.graphql.transaction_links import LazyTransaction, linked
from domain import ids
from domain.access import Capability, Role
from domain.identity.users import User as UserRecord
from domain.ids import IdKind, UserId

NEWEST_FIRST = Ordering("transactions:CREATED_AT:DESC", datetime)


@strawberry.type(description="Somebody who pays, or who works for the merchant.")
class User(Node):
    """A user on the wire."""

    seen_with: ClassVar[Capability | None] = None
    record: strawberry.Private[UserRecord]

    @strawberry.field(description="The user's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.USER, self.record.id))

    @strawberry.field(description="The user's email address.")
    def email(self) -> str:
        return self.record.email

    @strawberry.field(description="The user's name.")
    def name(self) -> str:
        return self.record.name

    @strawberry.field(description="What the user is to the merchant.")
    def role(self) -> Role:
        return self.record.role

    @strawberry.field(description="When the user was created.")
    def created_at(self) -> datetime:
        return self.record.created_at

    @strawberry.field(
        description="Whether the user has proved that the address is theirs, and since when; null where not."
    )
    def email_verified_at(self) -> datetime | None:
        return self.record.email_verified_at

    @strawberry.field(description="Since when the user is disabled and cannot sign in; null where they can.")
    def disabled_at(self) -> datetime | None:
        return self.record.disabled_at

    @strawberry.field(
        description="Your open sessions, the one that was used last first; null for anybody else's, and for API keys."
    )
    async def sessions(self, info: Info) -> list[Session] | None:
        context = info.context
        if context.session_id is None or self.record.id != context.require_actor().user_id:
            return None
        return [Session(record=each) for each in await context.loaders.open_sessions.load(self.record.id) or ()]

    @batched(
        description="Whether signing in takes a second factor; null for anybody else's, unless you manage users. Batched."
    )
    @staticmethod
    async def second_factor_enabled(users: "Sequence[User]", info: Info) -> list[bool | None]:
        actor = info.context.require_actor()
        manages = actor.may(Capability.USERS_MANAGE)
        told = [each.record.id for each in users if manages or each.record.id == actor.user_id]
        factors = dict(zip(told, await info.context.loaders.second_factors.load_many(told), strict=True))
        return [factors[each.record.id] == 1 if each.record.id in factors else None for each in users]

    @batched(description="The user's transactions, newest first, as far as the asker may see them.")
    @staticmethod
    async def transactions(
        users: "Sequence[User]",
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> list[Connection[LazyTransaction]]:
        page = page_request(first, after, last, before, ordering=NEWEST_FIRST)
        loaders = info.context.loaders
        return await connections(
            [each.record.id for each in users],
            loaders.transactions_of(page),
            NEWEST_FIRST,
            linked,
            lambda: loaders.user_transaction_counts,
        )


def user_type(record: UserRecord) -> User:
    return User(record=record)


async def users_with(info: Info, user_ids: Sequence[UserId | None]) -> list[User | None]:
    """The users with these ids; None where there is none that the asker may see."""
    return shown(await info.context.loaders.users.load_many(user_ids), user_type)
