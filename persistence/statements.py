"""Statements of SQLAlchemy's as asyncpg takes them: a text that is made once, and the order of its arguments.

To build a statement anew, to compile it and to run it through SQLAlchemy costs the process several times what asyncpg itself
takes. So what runs with every request is built of `bindparam`s and compiled once, and run by `persistence.engine.fetch` or in a
unit of work by `persistence.connection`. Tables, columns and conditions stay SQLAlchemy's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from sqlalchemy import JSON, ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Values: TypeAlias = Mapping[str, object]
"""What is put into a statement, by the names of its parameters. A name that the statement does not have is passed over."""

_Encode: TypeAlias = Callable[[Any], object]  # Any: whatever JSON can hold


def to_json(value: object) -> str:
    """JSON as columns hold it, for SQLAlchemy's own statements as for those that go past it."""
    return orjson.dumps(value).decode()


_DIALECT = PGDialect_asyncpg(json_serializer=to_json)  # type: ignore[no-untyped-call]  # SQLAlchemy types no dialects


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement's text with its parameters as $1, $2, and so on."""

    text: str
    names: tuple[str, ...]
    _fixed: Values
    _encoded: Sequence[tuple[int, _Encode]] = ()

    def arguments(self, values: Values) -> list[object]:
        """The values in the text's order. Raises KeyError where one is missing."""
        fixed = self._fixed
        arguments = [fixed[name] if name in fixed else values[name] for name in self.names]
        for place, encode in self._encoded:
            arguments[place] = encode(arguments[place])
        return arguments


def compiled(statement: ClauseElement, columns: Iterable[str] = ()) -> Statement:
    """The statement as asyncpg takes it. What stands in it as a value, and not as a bare `bindparam`, stays in it for good.

    `columns` are those that an INSERT or UPDATE is given with each run, by their names. Raises ValueError for a list whose
    length would be a part of the text: compare with `any_` of an array instead.
    """
    made = _compiled(statement, columns)
    if made.post_compile_params:
        raise ValueError(f"A list of any length is a part of this statement: {made.string}")
    return _statement_of(made)


def written_out(statement: ClauseElement) -> Statement:
    """A statement that is made for one run: its values stand in it, and lists have the length that they have."""
    return _statement_of(_compiled(statement, (), render_postcompile=True))


def _compiled(statement: ClauseElement, columns: Iterable[str], **how: bool) -> SQLCompiler:
    made: Compiled = statement.compile(dialect=_DIALECT, column_keys=list(columns) or None, compile_kwargs=how)
    if not isinstance(made, SQLCompiler):
        raise TypeError(f"This is no statement on rows: {made}")
    return made


def _statement_of(made: SQLCompiler) -> Statement:
    names = tuple(made.positiontup or ())
    # Members of a list that was written out have names of their own, and are no parameters any more.
    fixed = {name: made.params[name] for name in names if name not in made.binds or not made.binds[name].required}
    encoded = [
        (place, encode)
        for place, name in enumerate(names)
        if name in made.binds and (encode := _encoding(made.binds[name].type)) is not None
    ]
    return Statement(made.string, names, fixed, encoded)


def _encoding(kind: TypeEngine[Any]) -> _Encode | None:  # Any: columns are of several types
    """What the driver does not do by itself, for which it is set up to take and give JSON as text."""
    return kind.dialect_impl(_DIALECT).bind_processor(_DIALECT) if isinstance(kind, JSON) else None
