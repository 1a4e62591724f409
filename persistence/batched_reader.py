"""What readers share: pages and counts, of many parents' children in one statement too, and scopes as conditions."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, RowMapping, Select, bindparam, false, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Capability, Scope
from domain.ids import TransactionId
from domain.payments.queries import Page, PageRequest
from persistence.engine import autocommitting
from persistence.paging import Keyset
from persistence.tables import transactions

T = TypeVar("T")
Id = TypeVar("Id", bound=UUID)


class BatchedReader:
    """Reads on connections of their own, one statement each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def _pages_of(
        self,
        parent_ids: Sequence[Id],
        parent_column: ColumnElement[Any],
        child: Select[*tuple[Any, ...]],
        keyset: Keyset,
        page: PageRequest,
        record: Callable[[RowMapping], T],
    ) -> dict[Id, Page[T]]:
        """The same page of every parent's children in one statement, each parent's cut by the index on its own."""
        unique = list(dict.fromkeys(parent_ids))
        parent = func.unnest(array_of(unique)).table_valued("parent_id", name="parents").render_derived()
        parent_id: ColumnElement[Any] = parent.c.parent_id
        piece = keyset.cut(child.where(parent_column == parent_id), page).lateral("piece")
        rows = await self._rows(select(parent_id, piece).select_from(parent.join(piece, true())))
        by_parent: dict[UUID, list[RowMapping]] = {parent: [] for parent in unique}
        for row in rows:
            by_parent[row["parent_id"]].append(row)
        return {parent: keyset.page_of(by_parent[parent], page, record) for parent in unique}

    async def _by_ids(
        self,
        ids: Sequence[Id],
        id_column: ColumnElement[Any],
        statement: Select[*tuple[Any, ...]],
        record: Callable[[RowMapping], T],
    ) -> dict[Id, T]:
        """What a statement finds of these ids, which its rows have under the name "id"."""
        rows = await self._rows(statement.where(among(id_column, ids)))
        return {row["id"]: record(row) for row in rows}

    async def _page(
        self,
        statement: Select[*tuple[Any, ...]],
        keyset: Keyset,
        page: PageRequest,
        record: Callable[[RowMapping], T],
    ) -> Page[T]:
        return keyset.page_of(await self._rows(keyset.cut(statement, page)), page, record)

    async def _count(self, table: FromClause, *conditions: ColumnElement[bool]) -> int:
        statement = select(func.count().label("number")).select_from(table).where(*conditions)
        return int((await self._rows(statement))[0]["number"])

    async def _counts_of(
        self, transaction_ids: Sequence[TransactionId], table: FromClause, scope: Scope
    ) -> dict[TransactionId, int]:
        column = table.c.transaction_id
        statement = (
            select(column, func.count().label("number"))
            .where(among(column, transaction_ids), of_visible(column, scope))
            .group_by(column)
        )
        return {TransactionId(row["transaction_id"]): row["number"] for row in await self._rows(statement)}

    async def _rows(self, statement: Select[*tuple[Any, ...]]) -> Sequence[RowMapping]:
        async with autocommitting(self._engine) as connection:
            return (await connection.execute(statement)).mappings().all()


def array_of(ids: Sequence[UUID]) -> ColumnElement[Any]:
    """The ids as one array parameter, so that a statement's text does not depend on their number."""
    return bindparam(None, list(ids), type_=ARRAY(PG_UUID))


def among(column: ColumnElement[Any], ids: Sequence[UUID]) -> ColumnElement[bool]:
    return column == func.any(array_of(ids))


def of_visible(transaction_id: ColumnElement[Any], scope: Scope) -> ColumnElement[bool]:
    if scope.owner is None:
        return true()
    return transaction_id.in_(select(transactions.c.id).where(transactions.c.user_id == scope.owner))


def seen_with(capability: Capability, actor: Actor) -> ColumnElement[bool]:
    """The condition that keeps the queries of whoever lacks the capability empty, and of whoever reaches their own only."""
    return true() if actor.scope_of(capability).owner is None else false()
