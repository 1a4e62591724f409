"""A schema whose resolvers do what the API's never do, to see that compiled code leaves it to graphql-core."""

import asyncio
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Annotated, Any, NewType

import strawberry
from graphql import GraphQLObjectType, GraphQLResolveInfo
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

from api.graphql.compiled import batched, gated

Nothing = NewType("Nothing", str)


class Refused(BasePermission):
    """A permission that nobody has."""

    message = "refused"

    def has_permission(self, source: Any, info: Any, **_: Any) -> bool:  # Any: as Strawberry declares it
        return False


@strawberry.enum
class Colour(Enum):
    """An enum."""

    RED = "red"
    BLUE = "blue"


@strawberry.type
class Owned:
    """A type without interfaces, of which objects are not checked."""

    name: str


@strawberry.type
class Other:
    """Another one."""

    name: str


Either = Annotated[Owned | Other, strawberry.union("Either")]


@strawberry.interface
class Numbered:
    """An interface."""

    number: int


@strawberry.type
class Leaf(Numbered):
    """A type behind the interface, of which objects are checked."""


@strawberry.type
class Particular:
    """A type that tells its objects by itself, and refuses them all."""

    name: str

    @classmethod
    def is_type_of(cls, value: object, info: GraphQLResolveInfo[Any]) -> bool:
        return False


class Stranger:
    """Of no type of the schema."""

    number = 1
    name = "stranger"


async def _nobody() -> None:
    return None


def _numbers() -> Iterator[int]:
    yield from (1, 2)


@strawberry.type
class Item:
    """Of which the query holds two."""

    number: int

    @strawberry.field(permission_classes=[Refused])  # type: ignore[untyped-decorator]  # as Strawberry declares it
    def secret(self) -> str | None:
        return "secret"

    @strawberry.field
    def wrapped(self) -> str:
        return "bare"

    @strawberry.field
    def hidden(self) -> str | None:
        return "hidden"

    @strawberry.field
    async def hidden_later(self) -> str | None:
        return "hidden"

    @strawberry.field
    def hidden_promise(self) -> str:
        return "hidden"

    @strawberry.field
    def particular(self) -> Particular | None:
        return Particular(name="p")

    @strawberry.field
    def promised(self) -> str:
        return None  # type: ignore[return-value]  # what the test is about, here and below

    @strawberry.field
    async def promised_object(self) -> Owned:
        return None  # type: ignore[return-value]

    @strawberry.field
    def failed(self) -> Owned | None:
        return ValueError("returned")  # type: ignore[return-value]

    @strawberry.field
    def later(self) -> Owned | None:
        return _nobody()  # type: ignore[return-value]

    @strawberry.field
    def letters(self) -> list[str] | None:
        return "ab"  # type: ignore[return-value]

    @strawberry.field
    def tags(self) -> list[str]:
        return ["a", "b"]

    @strawberry.field
    def once(self) -> list[int]:
        return _numbers()  # type: ignore[return-value]

    @strawberry.field
    def text(self) -> str:
        return 5  # type: ignore[return-value]

    @strawberry.field
    def colour(self) -> Colour | None:
        return "green"  # type: ignore[return-value]

    @strawberry.field
    def large(self) -> int | None:
        return 2**31

    @strawberry.field
    def nothing(self) -> Nothing | None:
        return Nothing("something")

    @strawberry.field
    def leaf(self) -> Leaf | None:
        return Stranger()  # type: ignore[return-value]

    @strawberry.field
    def either(self) -> Either | None:
        return Stranger()  # type: ignore[return-value]

    @strawberry.field
    def cast(self) -> Either:
        return strawberry.cast(Other, Owned(name="cast"))

    @strawberry.field
    def extended(self, ids: list[int]) -> int:
        ids.append(1)
        return len(ids)

    @strawberry.field
    def greeting(self, name: str = "you") -> str:
        return name

    @strawberry.field
    def place(self, info: strawberry.Info) -> str:
        return str(info.path.as_list())

    @strawberry.field
    async def hurried(self) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    @batched(description="Answers once for all that are alike.")
    @staticmethod
    async def size(items: "Sequence[Item]") -> list[str]:
        return sorted({"small" for _ in items})

    @strawberry.field
    async def patient(self, info: strawberry.Info) -> str:
        try:
            await info.context["event"].wait()
        except asyncio.CancelledError:
            info.context["notes"].append(f"{self.number} cancelled")
            raise
        return "done"


@strawberry.type
class Query:
    """The query."""

    @strawberry.field
    async def items(self) -> list[Item]:
        return [Item(number=1), Item(number=2)]

    @strawberry.field
    async def empty(self) -> list[Item] | None:
        return None


def _serialize_nothing(_: object) -> None:
    return None


schema = strawberry.Schema(
    Query,
    types=[Leaf],
    config=StrawberryConfig(scalar_map={Nothing: strawberry.scalar(name="Nothing", serialize=_serialize_nothing)}),
)


@strawberry.type
class Counted:
    """A type of its own, because fields keep the default resolver of the schema that took them last."""

    number: int


@strawberry.type
class Counting:
    """The query of a schema that reads attributes in its own way."""

    @strawberry.field
    def items(self) -> list[Counted]:
        return [Counted(number=1)]


counting = strawberry.Schema(
    Counting, config=StrawberryConfig(default_resolver=lambda source, name: getattr(source, name) + 10)
)


def _shows(context: dict[str, Any]) -> bool:  # Any: whatever a test passes
    return bool(context["shows"])


_item = schema._schema.type_map["Item"]
assert isinstance(_item, GraphQLObjectType)
_fields = _item.fields
_bare: Any = _fields["wrapped"].resolve  # Any: as graphql-core declares resolvers
_fields["wrapped"].resolve = lambda source, info: f"{_bare(source, info)}, wrapped"
for _name in ("hidden", "hiddenLater", "hiddenPromise"):
    _resolve: Any = _fields[_name].resolve
    _fields[_name].resolve = gated(_resolve, _shows)
