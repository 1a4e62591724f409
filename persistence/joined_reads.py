"""Reads that requests share: what several of them ask for at the same time, each in a scope of its own, in one statement.

A statement takes a server longer than what it finds: two system calls, a connection that others wait for, PostgreSQL's own
beginning and end. The more requests there are, the more of them share one.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.joined_lookups import JoinedLookups
from persistence.engine import fetch
from persistence.rows import Row
from persistence.statements import Statement, Values

SHARED_MAX: Final = 8
"""Whoever asks for more ids than this has a statement of their own: it costs them little more, and nobody waits for them."""

_Asked: TypeAlias = "tuple[UUID | None, tuple[UUID, ...]]"
_Found: TypeAlias = Sequence[Sequence[Row]]


class JoinedRead:
    """One kind of read of what belongs to ids. Its statement takes arrays of `ids` and `owners`, and tells each row's `place`.

    That is the number of the id, from 1, for which the row was found: by it each gets its own, and nobody another's.
    """

    def __init__(self, engine: AsyncEngine, statement: Statement, values: Values) -> None:
        """`values` are what else the statement takes."""
        self._engine = engine
        self._statement = statement
        self._values = values
        self._lookups = JoinedLookups[_Asked, _Found](self._fetch)

    async def rows(self, ids: Sequence[UUID], owner: UUID | None) -> _Found:
        """The rows of each id, in the order of the ids, as far as they are inside the owner's scope; None has no limits.

        Raises Unavailable.
        """
        if not ids:
            return ()
        asked: _Asked = (owner, tuple(ids))
        if len(ids) > SHARED_MAX:
            return (await self._fetch((asked,)))[asked]
        return await self._lookups.find(asked) or [[] for _ in ids]

    async def _fetch(self, asked: Sequence[_Asked]) -> Mapping[_Asked, _Found]:
        ids = [each for _, wanted in asked for each in wanted]
        owners = [owner for owner, wanted in asked for _ in wanted]
        found: list[list[Row]] = [[] for _ in ids]
        for row in await fetch(self._engine, self._statement, {**self._values, "ids": ids, "owners": owners}):
            found[row["place"] - 1].append(row)
        ends = accumulate(len(wanted) for _, wanted in asked)
        return {each: found[end - len(each[1]) : end] for each, end in zip(asked, ends, strict=True)}
