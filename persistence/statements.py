"""Statements of SQLAlchemy's as asyncpg takes them: a text that is made once, and the order of its arguments.

To build a statement anew, to compile it and to run it through SQLAlchemy costs the process several times what asyncpg itself
takes. So what is read with every request is built of `bindparam`s, compiled when it is first asked for, and run by
`persistence.engine.fetch`. Tables, columns and conditions stay SQLAlchemy's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Select, make_url

Values: TypeAlias = Mapping[str, object]
"""What is put into a statement, by the names of its parameters. A name that the statement does not have is passed over."""

_DIALECT = make_url("postgresql+asyncpg://").get_dialect()()


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement's text with its parameters as $1, $2, and so on."""

    text: str
    names: tuple[str, ...]
    _fixed: Values

    def arguments(self, values: Values) -> list[object]:
        """The values in the text's order. Raises KeyError where one is missing."""
        fixed = self._fixed
        return [fixed[name] if name in fixed else values[name] for name in self.names]


def compiled(statement: Select[*tuple[object, ...]]) -> Statement:
    """The statement as asyncpg takes it. What stands in it as a value, and not as a bare `bindparam`, stays in it for good.

    Raises ValueError for a list whose length would be a part of the text: compare with `any_` of an array instead.
    """
    made = statement.compile(dialect=_DIALECT)
    if made.post_compile_params:
        raise ValueError(f"A list of any length is a part of this statement: {made.string}")
    names = tuple(made.positiontup or ())
    fixed = {name: made.params[name] for name in names if not made.binds[name].required}
    return Statement(made.string, names, fixed)
