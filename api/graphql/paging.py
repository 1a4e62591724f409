"""Relay connections over keyset pages (https://relay.dev/graphql/connections.htm): opaque cursors, both directions."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
import strawberry

from api.graphql.batching import Loader
from domain.errors import BadInput
from domain.payments.queries import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page, PageRequest, Position

K = TypeVar("K")
N = TypeVar("N")
R = TypeVar("R")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BIGINT_MAX = 2**63 - 1

# What nearly everybody asks for, once for each object of a list.
_FIRST_PAGES = [PageRequest(size=size) for size in range(PAGE_SIZE_MAX + 1)]


@dataclass(frozen=True, slots=True)
class Ordering:
    """The order of a list: its name in cursors, and whether what it goes by is a time or a number."""

    name: str
    by: type[datetime] | type[int]


First = Annotated[int | None, strawberry.argument(description="How many from the start: 1 to 100. Not with last.")]
After = Annotated[str | None, strawberry.argument(description="Only what comes after this cursor.")]
Last = Annotated[int | None, strawberry.argument(description="How many from the end: 1 to 100. Not with first.")]
Before = Annotated[str | None, strawberry.argument(description="Only what comes before this cursor.")]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    """Relay's PageInfo."""

    page: strawberry.Private[Page[Any]]
    ordering: strawberry.Private[Ordering]

    @strawberry.field(description="Whether there is more after this page.")
    def has_next_page(self) -> bool:
        return self.page.has_next

    @strawberry.field(description="Whether there is more before this page.")
    def has_previous_page(self) -> bool:
        return self.page.has_previous

    @strawberry.field(description="The first item's cursor; null on an empty page.")
    def start_cursor(self) -> str | None:
        return encode_cursor(self.page.positions[0], self.ordering) if self.page.positions else None

    @strawberry.field(description="The last item's cursor; null on an empty page.")
    def end_cursor(self) -> str | None:
        return encode_cursor(self.page.positions[-1], self.ordering) if self.page.positions else None


@strawberry.type(description="An item and its place in the list.")
class Edge(Generic[N]):
    """Relay's edge."""

    node: N = strawberry.field(description="The item.")
    position: strawberry.Private[Position]
    ordering: strawberry.Private[Ordering]

    @strawberry.field(description="The item's place, to be passed as after or before.")
    def cursor(self) -> str:
        return encode_cursor(self.position, self.ordering)


@strawberry.type(description="A page of a list.")
class Connection(Generic[N]):
    """Relay's connection, with `nodes` for clients that need no cursors for each item.

    Nothing of it is made before it is asked for: most clients want either edges or nodes, and few want every cursor.
    """

    page: strawberry.Private[Page[Any]]
    ordering: strawberry.Private[Ordering]
    # Any: what a page holds is a record, of which `node` makes an N.
    node: strawberry.Private[Callable[[Any], Any]]
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="The items with their cursors.")
    def edges(self) -> list[Edge[N]]:
        node, ordering, page = self.node, self.ordering, self.page
        return [
            Edge(node=node(item), position=position, ordering=ordering)
            for item, position in zip(page.items, page.positions, strict=True)
        ]

    @strawberry.field(description="The items.")
    def nodes(self) -> list[N]:
        node = self.node
        return [node(item) for item in self.page.items]

    @strawberry.field(description="Where this page lies in the list.")
    def page_info(self) -> PageInfo:
        return PageInfo(page=self.page, ordering=self.ordering)

    @strawberry.field(description="How many items the whole list has. It is counted only when asked for, and costs.")
    async def total_count(self) -> int | None:
        return await self.count()


def connection(
    page: Page[R], ordering: Ordering, node: Callable[[R], N], count: Callable[[], Awaitable[int]]
) -> Connection[N]:
    """A connection over a page of records; `ordering` is the list's, as given to `page_request`."""
    return Connection(page=page, ordering=ordering, node=node, count=count)


async def connections(
    keys: Sequence[K],
    pages: Loader[K, Page[R]],
    ordering: Ordering,
    node: Callable[[R], N],
    counts: Callable[[], Loader[K, int]],
) -> list[Connection[N]]:
    """A connection for each of several lists, by the keys of what they belong to."""
    found = await pages.load_many(keys)
    return [
        connection(page, ordering, node, partial(counted, counts, key)) for key, page in zip(keys, found, strict=True)
    ]


def counted(counts: Callable[[], Loader[K, int]], key: K) -> Awaitable[int]:
    """How many items a list has. Its loader is made only where somebody wants to know."""
    return counts().load(key)


def page_request(
    first: int | None, after: str | None, last: int | None, before: str | None, *, ordering: Ordering
) -> PageRequest:
    """The piece of a list that four Relay arguments ask for.

    `ordering` is the list's: a cursor of another order is refused, because it would point nowhere.
    Raises BadInput for sizes outside 1 to 100, for both directions at once, and for a cursor that is not ours.
    """
    if last is None and after is None and before is None and (first is None or 1 <= first <= PAGE_SIZE_MAX):
        return _FIRST_PAGES[first or PAGE_SIZE_DEFAULT]
    if first is not None and last is not None:
        raise BadInput("Give first or last, not both.")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 1 <= size <= PAGE_SIZE_MAX:
            raise BadInput(f"{name} is 1 to {PAGE_SIZE_MAX}, not {size}.")
    return PageRequest(
        size=first or last or PAGE_SIZE_DEFAULT,
        after=None if after is None else _decode_cursor(after, "after", ordering),
        before=None if before is None else _decode_cursor(before, "before", ordering),
        from_end=last is not None,
    )


def encode_cursor(position: Position, ordering: Ordering) -> str:
    value = position.value
    # Whole microseconds, as PostgreSQL keeps them: a rounded cursor would skip or repeat rows.
    number = (value - _EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value
    content = orjson.dumps([ordering.name, number, position.id.hex])
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode_cursor(text: str, name: str, ordering: Ordering) -> Position:
    try:
        content = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise BadInput(f"{name} is not a cursor of this API.") from None
    match content:
        case [str(list_order), int(number), str(digits)] if (
            abs(number) <= _BIGINT_MAX and len(digits) == 32 and digits.isascii() and digits.isalnum()
        ):
            if list_order != ordering.name:
                raise BadInput(f"{name} is a cursor of a list in another order.")
            try:
                value = _EPOCH + timedelta(microseconds=number) if ordering.by is datetime else number
                return Position(value, UUID(hex=digits))
            except (ValueError, OverflowError):
                pass
    raise BadInput(f"{name} is not a cursor of this API.")
