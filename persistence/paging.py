"""Keyset pages: the next page begins after a row's values, so that the last page costs what the first one does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, RowMapping, Select, tuple_

from domain.payments.queries import Page, PageRequest, Position

T = TypeVar("T")

_BIGINT_MIN, _BIGINT_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Keyset:
    """An order by one column and, for ties, the id, both in one direction so that a row comparison can use the index."""

    # Any: times order some lists, integers others.
    value: Column[Any]
    id: ColumnElement[Any]
    descending: bool

    # Any: the columns of the statement are the caller's.
    def cut(self, statement: Select[*tuple[Any, ...]], page: PageRequest) -> Select[*tuple[Any, ...]]:
        """The statement for a page: one row more than asked for, which tells whether there are more."""
        if page.after is not None:
            statement = statement.where(self._beyond(page.after, forward=True))
        if page.before is not None:
            statement = statement.where(self._beyond(page.before, forward=False))
        descending = self.descending is not page.from_end
        order = [column.desc() if descending else column.asc() for column in (self.value, self.id)]
        return statement.order_by(*order).limit(page.size + 1)

    def page_of(self, rows: Sequence[RowMapping], request: PageRequest, record: Callable[[RowMapping], T]) -> Page[T]:
        """The page in rows that `cut` fetched."""
        more = len(rows) > request.size
        kept = list(rows[: request.size])
        if request.from_end:
            kept.reverse()
        return Page(
            items=[record(row) for row in kept],
            positions=[Position(row[self.value.name], row["id"]) for row in kept],
            has_previous=more if request.from_end else request.after is not None,
            has_next=request.before is not None if request.from_end else more,
        )

    def _beyond(self, position: Position, *, forward: bool) -> ColumnElement[bool]:
        row = tuple_(self.value, self.id)
        value = position.value
        if isinstance(value, int):
            # A cursor comes from outside; beyond what the column can hold there is nothing, and no error either.
            value = max(_BIGINT_MIN, min(value, _BIGINT_MAX))
        bound = tuple_(value, position.id)
        return row < bound if forward is self.descending else row > bound
