"""Keyset pages: the next page begins after a row's values, so that the last page costs what the first one does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from sqlalchemy import BigInteger, Column, ColumnElement, FromClause, Select, bindparam, tuple_

from domain.payments.queries import Page, PageRequest, Position
from persistence.rows import Row
from persistence.statements import Values

T = TypeVar("T")

_BIGINT_MIN, _BIGINT_MAX = -(2**63), 2**63 - 1
_LIMIT = bindparam("limit", type_=BigInteger)


@dataclass(frozen=True, slots=True)
class Ends:
    """What of a page decides over its statement's text: which ends it has, and from which one it is counted."""

    after: bool
    before: bool
    from_end: bool

    @classmethod
    def of(cls, page: PageRequest) -> "Ends":
        return cls(page.after is not None, page.before is not None, page.from_end)


@dataclass(frozen=True, slots=True, eq=False)
class Keyset:
    """An order by one column and, for ties, the id, both in one direction so that a row comparison can use the index."""

    # Any: times order some lists, integers others.
    value: Column[Any]
    id: ColumnElement[Any]
    descending: bool
    # What the rows have in common, where the index that has them in order begins with it.
    within: Column[Any] | None = None
    # No two rows have the same value: the id has no tie to break.
    unique: bool = False

    # Any: the columns of the statement are the caller's.
    def cut(
        self, statement: Select[*tuple[Any, ...]], ends: Ends, rows: ColumnElement[int] | None = None
    ) -> Select[*tuple[Any, ...]]:
        """The statement for a page: one row more than asked for, which tells whether there are more; or for so many `rows`."""
        row: ColumnElement[Any] = self.value if self.unique else tuple_(self.value, self.id)
        if ends.after:
            bound = self._bound("after")
            statement = statement.where(row < bound if self.descending else row > bound)
        if ends.before:
            bound = self._bound("before")
            statement = statement.where(row > bound if self.descending else row < bound)
        columns: list[ColumnElement[Any]] = [self.value] if self.unique else [self.value, self.id]
        if self.within is not None:
            columns.insert(0, self.within)
        return self._sort(statement, ends, *columns).limit(_LIMIT if rows is None else rows)

    def merge(self, pieces: FromClause, ends: Ends, statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        """The page of the whole list, of pieces that `cut` has made of its parts."""
        columns = [pieces.c[self.value.name], pieces.c.id]
        if self.within is not None:
            columns.insert(0, pieces.c[self.within.name])
        return self._sort(statement, ends, *columns).limit(_LIMIT)

    def _sort(
        self, statement: Select[*tuple[Any, ...]], ends: Ends, *columns: ColumnElement[Any]
    ) -> Select[*tuple[Any, ...]]:
        descending = self.descending is not ends.from_end
        return statement.order_by(*(column.desc() if descending else column.asc() for column in columns))

    def values(self, page: PageRequest) -> Values:
        """What `cut`'s statement takes."""
        values: dict[str, object] = {"limit": page.size + 1}
        if page.after is not None:
            values |= {"after_value": _within_bigint(page.after), "after_id": page.after.id}
        if page.before is not None:
            values |= {"before_value": _within_bigint(page.before), "before_id": page.before.id}
        return values

    def page_of(self, rows: Sequence[Row], request: PageRequest, record: Callable[[Row], T]) -> Page[T]:
        """The page in rows that `cut` fetched."""
        more = len(rows) > request.size
        kept = list(rows[: request.size])
        if request.from_end:
            kept.reverse()
        return Page(
            items=[record(row) for row in kept],
            positions=_Positions(kept, self.value.name),
            has_previous=more if request.from_end else request.after is not None,
            has_next=request.before is not None if request.from_end else more,
        )

    def _bound(self, end: str) -> ColumnElement[Any]:  # Any: as the columns are
        value, id_ = f"{end}_value", f"{end}_id"
        bound = bindparam(value, type_=self.value.type)
        return bound if self.unique else tuple_(bound, bindparam(id_, type_=self.id.type))


class _Positions(Sequence[Position]):
    """The places of a page's items, each made when it is asked for: few clients want the cursor of every item."""

    def __init__(self, rows: Sequence[Row], value: str) -> None:
        self._rows = rows
        self._value = value

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Position: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Position]: ...
    def __getitem__(self, index: int | slice) -> Position | Sequence[Position]:
        if isinstance(index, slice):
            return _Positions(self._rows[index], self._value)
        row = self._rows[index]
        return Position(row[self._value], row["id"])


def _within_bigint(position: Position) -> object:
    """A cursor comes from outside; beyond what the column can hold there is nothing, and no error either."""
    value = position.value
    return max(_BIGINT_MIN, min(value, _BIGINT_MAX)) if isinstance(value, int) else value
