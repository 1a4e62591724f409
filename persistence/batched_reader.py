"""What readers share: pages and counts, of many parents' children in one statement too, and scopes as conditions."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    FromClause,
    Select,
    TableValuedAlias,
    and_,
    any_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.dialects.postgresql import array as literal_array
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.visitors import ExternallyTraversible, replacement_traverse

from domain.access import Actor, Capability, Scope
from domain.payments.queries import Page, PageRequest
from persistence.engine import fetch
from persistence.joined_reads import JoinedRead
from persistence.paging import Ends, Keyset
from persistence.rows import Row
from persistence.statements import Statement, Values, compiled
from persistence.tables import transactions

T = TypeVar("T")
Id = TypeVar("Id", bound=UUID)

# How many texts are kept of each kind: filters can be combined in more ways than anybody does combine them.
_TEXTS_MAX: Final = 512
# Of how many values each has its page cut by itself. A list of more is not likely to leave out much.
_PIECES_MAX: Final = 8
# Conditions that are alike for all who share a statement, or told apart in it.
_SHAREABLE: Final = frozenset({"owner", "nobody"})
_NOTHING: Final[Values] = {}
# So many rows of a list are looked through for what may be in most of them, which takes a few milliseconds.
_PROBED: Final = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What is read of one kind of record, and the conditions under which it can be read, by name.

    A read names its conditions by the values that it gives for them, so that what cannot be put into a condition cannot be
    asked for. `lists` are the columns of those conditions that are given several values. Where there are `branches`, a page is
    cut from each of them, and these are merged.
    """

    table: FromClause
    columns: Sequence[ColumnElement[Any]]
    id: ColumnElement[Any]
    conditions: Mapping[str, ColumnElement[bool]]
    lists: Mapping[str, Column[Any]] = field(default_factory=dict)
    branches: FromClause | None = None
    # Conditions in the form that has the planner go by their own index.
    sought: Mapping[str, ColumnElement[bool]] = field(default_factory=dict)

    def where(self, names: frozenset[str], wanted: TableValuedAlias | None = None) -> Select[*tuple[Any, ...]]:
        return select(*self.columns).where(*self.all_of(names, wanted))

    def all_of(self, names: frozenset[str], wanted: TableValuedAlias | None = None) -> list[ColumnElement[bool]]:
        """The conditions. The owner in them is a parameter or, where it is given, `wanted`'s column."""
        named = [condition for name, condition in self.conditions.items() if name in names]
        if wanted is not None and "owner" in names:
            named = [replacement_traverse(each, {}, partial(_owner_of, wanted)) for each in named]
        named += [any_of(column, name) for name, column in self.lists.items() if name in names]
        # As text: SQLAlchemy's own false() leaves out all that stands beside it, and with it the parameters that are given.
        return [*named, literal_column("false")] if "nobody" in names else named

    def compiled(self, statement: Select[*tuple[Any, ...]], names: frozenset[str]) -> Statement:
        """Raises KeyError for a name that is neither a condition nor a part of one, lest a read goes on without it."""
        made = compiled(statement)
        if unknown := names - self.conditions.keys() - self.lists.keys() - {"nobody", *made.names}:
            raise KeyError(*unknown)
        return made


class BatchedReader:
    """Reads on connections of their own, one statement each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._joined: dict[tuple[Hashable, frozenset[str]], JoinedRead] = {}

    async def _pages_of(
        self,
        parent_ids: Sequence[Id],
        parent_column: ColumnElement[Any],
        selection: Selection,
        values: Values,
        keyset: Keyset,
        page: PageRequest,
        record: Callable[[Row], T],
    ) -> dict[Id, Page[T]]:
        """The same page of every parent's children in one statement."""
        unique = list(dict.fromkeys(parent_ids))
        ends = Ends.of(page)
        make = partial(_pages_statement, selection, parent_column, keyset, ends)
        # A cursor is one client's own: to keep a read for each would be to keep them without end.
        kept = None if ends.after or ends.before else (selection, parent_column, keyset, page)
        found = await self._found(kept, make, values, unique, keyset.values(page))
        return {parent: keyset.page_of(rows, page, record) for parent, rows in zip(unique, found, strict=True)}

    async def _by_ids(
        self, ids: Sequence[Id], selection: Selection, values: Values, record: Callable[[Row], T]
    ) -> dict[Id, T]:
        """What is found of these ids."""
        found = await self._found(selection, partial(_by_ids_statement, selection), values, ids)
        return {wanted: record(rows[0]) for wanted, rows in zip(ids, found, strict=True) if rows}

    async def _found(
        self,
        kept: Hashable | None,
        make: Callable[[frozenset[str]], Statement],
        values: Values,
        ids: Sequence[UUID],
        more: Values = _NOTHING,
    ) -> Sequence[Sequence[Row]]:
        """The rows of each id, in one statement with all who ask for the same at this time.

        What is the same is `kept`, and under which conditions; None shares it with nobody. `more` is what the statement takes
        beside the conditions, and depends on nothing but `kept`.
        """
        owner, names = values.get("owner"), frozenset(values)
        if owner is not None and not isinstance(owner, UUID):
            raise TypeError("An owner is an id.")
        read = self._joined.get((kept, names))
        if read is None:
            # Without the owner: a statement that asked for one owner alone would not find it, and so would find nothing.
            others = {name: value for name, value in values.items() if name != "owner"}
            read = JoinedRead(self._engine, make(names), {**others, **more})
            if kept is not None and names <= _SHAREABLE:
                self._joined[kept, names] = read
        return await read.rows(ids, owner)

    async def _page(
        self,
        selection: Selection,
        values: Values,
        keyset: Keyset,
        page: PageRequest,
        record: Callable[[Row], T],
        *,
        piecewise: str | None = None,
        probed: str = "",
    ) -> Page[T]:
        """`piecewise` names the list for each of whose values the page is cut by itself, where there are few of them.

        `probed` names a condition of which nobody can tell whether most rows meet it or hardly any: see `_probing`.
        """
        shape = _Shape(keyset, Ends.of(page), probed=probed)
        wanted = {**values, **keyset.values(page)}
        if piecewise is not None and 0 < len(each := _listed(values[piecewise])) <= _PIECES_MAX:
            shape = replace(shape, piecewise=piecewise, pieces=len(each))
            wanted |= {f"{piecewise}_{number}": value for number, value in enumerate(each)}
        rows = await self._rows(_page_statement(selection, shape, frozenset(values)), wanted)
        return keyset.page_of(rows, page, record)

    async def _count(self, selection: Selection, values: Values) -> int:
        return int((await self._rows(_count_statement(selection, frozenset(values)), values))[0]["number"])

    async def _counts_of(
        self, parent_ids: Sequence[Id], parent_column: ColumnElement[Any], selection: Selection, values: Values
    ) -> dict[Id, int]:
        statement = _counts_statement(selection, parent_column, frozenset(values))
        rows = await self._rows(statement, {**values, "parent_ids": parent_ids})
        return {row["parent_id"]: row["number"] for row in rows}

    async def _rows(self, statement: Statement, values: Values) -> Sequence[Row]:
        return await fetch(self._engine, statement, values)


@lru_cache(_TEXTS_MAX)
def _by_ids_statement(selection: Selection, names: frozenset[str]) -> Statement:
    wanted = _wanted(names)
    return selection.compiled(
        select(wanted.c.place, *selection.columns).join_from(
            wanted, selection.table, and_(selection.id == wanted.c.id, *selection.all_of(names, wanted))
        ),
        names,
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a page decides over its statement's text."""

    keyset: Keyset
    ends: Ends
    piecewise: str = ""
    pieces: int = 0
    probed: str = ""


@lru_cache(_TEXTS_MAX)
def _page_statement(selection: Selection, shape: _Shape, names: frozenset[str]) -> Statement:
    """Where there are pieces or branches, a page of each is cut by the index, and no more is sorted than those pages.

    Of rows of several statuses in the order of time, say, an index by status and time finds each status's own in order. Asked
    for them all at once, PostgreSQL would sort every one of them, or go through the rows of every other status too. It knows how
    many rows a status has only where that is a value of its own, and not one of a table that is joined.
    """
    keyset, ends = shape.keyset, shape.ends
    if shape.pieces:
        column, others = selection.lists[shape.piecewise], names - {shape.piecewise}
        value = (bindparam(f"{shape.piecewise}_{number}", type_=column.type) for number in range(shape.pieces))
        cut = [keyset.cut(selection.where(others).where(column == each), ends) for each in value]
        if len(cut) == 1:
            return selection.compiled(cut[0], names)
        pieces = union_all(*cut).subquery("pieces")
        return selection.compiled(keyset.merge(pieces, ends, select(*pieces.c)), names)
    if shape.probed:
        return selection.compiled(_probing(selection, shape, names), names)
    piece = keyset.cut(selection.where(names), ends)
    if selection.branches is None:
        return selection.compiled(piece, names)
    branch = piece.lateral("piece")
    whole = select(*branch.c).select_from(selection.branches.join(branch, true()))
    return selection.compiled(keyset.merge(branch, ends, whole), names)


def _probing(selection: Selection, shape: _Shape, names: frozenset[str]) -> Select[*tuple[Any, ...]]:
    """A page out of the next few thousand rows of the list or, where those do not fill it, by the condition's own index.

    A condition that many rows meet fills the page at once, and its index would find all of them, to be sorted. One that few
    meet is found by its index at once, and the list would have to be looked through to its end.
    """
    keyset, ends, others = shape.keyset, shape.ends, names - {shape.probed}
    met = selection.conditions[shape.probed].label("met")
    near = keyset.cut(selection.where(others).add_columns(met), ends, literal_column(str(_PROBED))).cte("near")
    columns = [near.c[str(column.key)] for column in selection.columns]
    first = keyset.merge(near, ends, select(*columns).where(near.c.met)).cte("first")
    # Full, or all that there is: the list ends among the rows that were looked through.
    full = select(func.count() >= bindparam("limit", type_=BigInteger)).select_from(first).scalar_subquery()
    ended = select(func.count() < _PROBED).select_from(near).scalar_subquery()
    done = or_(full, ended)
    rest = keyset.cut(selection.where(others).where(not_(done), selection.sought[shape.probed]), ends)
    pieces = union_all(select(*first.c).where(done), rest).subquery("pieces")
    return keyset.merge(pieces, ends, select(*pieces.c))


@lru_cache(_TEXTS_MAX)
def _pages_statement(
    selection: Selection, parent_column: ColumnElement[Any], keyset: Keyset, ends: Ends, names: frozenset[str]
) -> Statement:
    """Each parent's page is cut by the index on its own, so that one with many children costs what one with few does."""
    wanted = _wanted(names)
    children = selection.where(names, wanted).where(parent_column == wanted.c.id)
    if "owner" in names and parent_column.table is not transactions:
        # Asked once of each parent, and not of each of its children.
        own = exists().where(transactions.c.id == wanted.c.id, transactions.c.user_id == wanted.c.owner)
        children = selection.where(names - {"owner"}).where(parent_column == wanted.c.id, own.correlate(wanted))
    piece = keyset.cut(children, ends).lateral("piece")
    return selection.compiled(select(wanted.c.place, piece).select_from(wanted.join(piece, true())), names)


def _wanted(names: frozenset[str]) -> TableValuedAlias:
    """The ids that are asked for as a table, each with whose scope it is asked in, and with its place among them."""
    columns = {"id": array("ids")} | ({"owner": array("owners")} if "owner" in names else {})
    return func.unnest(*columns.values()).table_valued(*columns, with_ordinality="place").render_derived("wanted")


@lru_cache(_TEXTS_MAX)
def _count_statement(selection: Selection, names: frozenset[str]) -> Statement:
    number = func.count().label("number")
    counted = select(number).select_from(selection.table).where(*selection.all_of(names))
    return selection.compiled(counted, names)


@lru_cache(_TEXTS_MAX)
def _counts_statement(selection: Selection, parent_column: ColumnElement[Any], names: frozenset[str]) -> Statement:
    counted = select(parent_column.label("parent_id"), func.count().label("number"))
    among_parents = parent_column == any_(array("parent_ids"))
    statement = counted.where(among_parents, *selection.all_of(names)).group_by(parent_column)
    return selection.compiled(statement, names)


def array(name: str) -> ColumnElement[Any]:
    """Ids as one array parameter, so that a statement's text does not depend on their number."""
    return bindparam(name, type_=ARRAY(PG_UUID))


def _owner_of(wanted: TableValuedAlias, element: ExternallyTraversible) -> ColumnElement[Any] | None:
    return wanted.c.owner if isinstance(element, BindParameter) and element.key == "owner" else None


def any_of(column: Column[Any], name: str) -> ColumnElement[bool]:  # Any: columns are of several types
    """Whether a column has one of several values, which are one array parameter."""
    return column == any_(_list(name, column))


def _list(name: str, column: Column[Any]) -> ColumnElement[Any]:  # Any: columns are of several types
    return bindparam(name, type_=ARRAY(column.type))


def _listed(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError("A condition with several values takes a list.")
    return value


def one_of_one(column: Column[T], name: str) -> ColumnElement[bool]:
    """Whether a column has a value, in a form that the planner does not take for settled.

    What is settled it strikes out of an order, and of a keyset's `within` it has to know.
    """
    return column == any_(literal_array([bindparam(name, type_=column.type)]))


def owned(scope: Scope) -> Values:
    """The value for the condition "owner" of a selection, which keeps a read inside its scope."""
    return {} if scope.owner is None else {"owner": scope.owner}


def of_visible(transaction_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition "owner" of what hangs on a transaction."""
    return exists().where(transactions.c.id == transaction_id, transactions.c.user_id == bindparam("owner"))


def seen_with(capability: Capability, actor: Actor) -> Values:
    """Keeps the reads of whoever lacks the capability empty, and of whoever reaches their own only."""
    return {} if actor.scope_of(capability).owner is None else {"nobody": True}
