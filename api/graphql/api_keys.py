"""API keys, for administrators: the list, and the mutations that create one and revoke one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

import strawberry

from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.mutations import ERRORS, outcome_of
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, Ordering, connection, page_request
from api.graphql.problems import UserError
from api.graphql.rules import needs
from api.graphql.users import User, users_with
from domain import ids
from domain.access import Capability
from domain.identity.api_keys import ApiKey as ApiKeyRecord
from domain.identity.create_api_key import NewApiKey
from domain.ids import ApiKeyId, IdKind

LATEST_FIRST = Ordering("apiKeys", datetime)


@strawberry.type(
    description="What a program shows instead of an access token. It acts for its owner, within its scopes."
)
class ApiKey(Node):
    """A key on the wire, without its text."""

    seen_with: ClassVar[Capability | None] = Capability.KEYS_MANAGE
    record: strawberry.Private[ApiKeyRecord]

    @strawberry.field(description="The key's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.API_KEY, self.record.id))

    @strawberry.field(description="What it is for.")
    def name(self) -> str:
        return self.record.name

    @strawberry.field(description='The beginning of the key, such as "florin_live_8fK2mQ0x", to tell keys apart.')
    def prefix(self) -> str:
        return self.record.prefix

    @strawberry.field(description="What it can do, as far as its owner can.")
    def scopes(self) -> list[Capability]:
        return sorted(self.record.scopes)

    @batched(description="For whom it acts. Batched.")
    @staticmethod
    async def owner(keys: "Sequence[ApiKey]", info: Info) -> list[User | None]:
        return await users_with(info, [each.record.owner_id for each in keys])

    @strawberry.field(description="When it was created.")
    def created_at(self) -> datetime:
        return self.record.created_at

    @strawberry.field(description="From when on it is refused; null where it never expires.")
    def expires_at(self) -> datetime | None:
        return self.record.expires_at

    @strawberry.field(description="When it was last used, to the minute; null where it never was.")
    def last_used_at(self) -> datetime | None:
        return self.record.last_used_at

    @strawberry.field(description="Since when it is refused because somebody has revoked it; null where nobody has.")
    def revoked_at(self) -> datetime | None:
        return self.record.revoked_at


def api_key_type(record: ApiKeyRecord) -> ApiKey:
    return ApiKey(record=record)


@strawberry.type
class ApiKeyQueries:
    """The queries of API keys."""

    @strawberry.field(
        description="Every API key, the latest first, also those that are expired or revoked. For administrators.",
        metadata=needs(Capability.KEYS_MANAGE),
    )
    async def api_keys(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[ApiKey]:
        actor, reader = info.context.require_actor(), info.context.readers.api_keys
        page = page_request(first, after, last, before, ordering=LATEST_FIRST)
        return connection(await reader.keys(actor, page), LATEST_FIRST, api_key_type, lambda: reader.count_keys(actor))


@strawberry.input(description="An API key to create. It acts for you.")
class CreateApiKeyInput:
    """What createApiKey takes."""

    name: str = strawberry.field(description="The program that will use it: 1 to 100 characters.")
    scopes: list[Capability] = strawberry.field(
        description="What it can do: at least one capability, and none that you lack. KEYS_MANAGE, REFUNDS_APPROVE and "
        "USERS_MANAGE are for people alone."
    )
    expires_at: datetime | None = strawberry.field(
        default=None, description="From when on it is refused; it never expires when absent."
    )


@strawberry.type(description="What came of createApiKey.")
class CreateApiKeyPayload:
    """The key with its text, once."""

    api_key: ApiKey | None = strawberry.field(description="The new key; null when the input was refused.")
    secret: str | None = strawberry.field(
        description='The key itself, for the header "Authorization: Bearer ...". It is shown here and never again.'
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="An API key that is to be refused from now on.")
class RevokeApiKeyInput:
    """What revokeApiKey takes."""

    api_key_id: strawberry.ID = strawberry.field(description="Which. One that is revoked already stays so.")


@strawberry.type(description="What came of revokeApiKey.")
class RevokeApiKeyPayload:
    """The key as it stands."""

    api_key: ApiKey | None = strawberry.field(description="The key; null when the input was refused.")
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class ApiKeyMutations:
    """The mutations of API keys."""

    @strawberry.mutation(
        description="Create an API key that acts for you. Its text is in the answer, once: whoever loses it creates another. "
        "For administrators.",
        metadata=needs(Capability.KEYS_MANAGE),
    )
    async def create_api_key(
        self,
        info: Info,
        input: Annotated[CreateApiKeyInput, strawberry.argument(description="What the key is for.")],
    ) -> CreateApiKeyPayload:
        context = info.context
        wanted = NewApiKey(name=input.name, scopes=input.scopes, expires_at=input.expires_at)
        created, errors = await outcome_of(context, context.acts.create_api_key(context.require_actor(), wanted))
        if created is None:
            return CreateApiKeyPayload(api_key=None, secret=None, errors=errors)
        return CreateApiKeyPayload(api_key=api_key_type(created.record), secret=created.text, errors=[])

    @strawberry.mutation(
        description="Refuse every request by an API key from now on, everywhere. For administrators.",
        metadata=needs(Capability.KEYS_MANAGE),
    )
    async def revoke_api_key(
        self,
        info: Info,
        input: Annotated[RevokeApiKeyInput, strawberry.argument(description="Which key.")],
    ) -> RevokeApiKeyPayload:
        context = info.context
        value = ids.decode_as(IdKind.API_KEY, input.api_key_id)
        key_id = None if value is None else ApiKeyId(value)
        key, errors = await outcome_of(context, context.acts.revoke_api_key(context.require_actor(), key_id))
        return RevokeApiKeyPayload(api_key=None if key is None else api_key_type(key), errors=errors)
