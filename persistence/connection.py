"""A unit of work's connection: the one way on which its statements, its BEGIN and its COMMIT go to PostgreSQL.

It is one of the engine's own pool, and the driver's own: SQLAlchemy's way to run a statement would cost the process several
times what the driver takes (see `persistence.statements`).
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import asyncpg
from sqlalchemy import ClauseElement

from persistence.pool import Borrowed
from persistence.rows import Row
from persistence.statements import Statement, Values, written_out

T = TypeVar("T")

_NOTHING: Values = {}


class RolledBack(Exception):
    """PostgreSQL has rolled back what was to be committed: a statement had failed, and whoever ran it did not say so."""


class Connection:
    """One database transaction, which begins with its first statement; or, where it is `alone`, each statement by itself.

    Statements run one after the other. A SQLAlchemy statement instead of a compiled one is compiled for this one run.
    """

    __slots__ = ("_alone", "_begun", "_borrowed", "_broken")

    def __init__(self, borrowed: Borrowed, *, alone: bool) -> None:
        self._borrowed = borrowed
        self._alone = alone
        self._begun = False
        self._broken: BaseException | None = None

    async def fetch(self, statement: Statement | ClauseElement, values: Values = _NOTHING) -> Sequence[Row]:
        """Run a statement; the rows that it finds."""
        ready = statement if isinstance(statement, Statement) else written_out(statement)
        arguments = ready.arguments(values)
        if not self._begun:
            await self._begin()
        found: Sequence[Row] = await self._sent(self._borrowed.driver.fetch, ready.text, *arguments)
        return found

    async def fetch_one(self, statement: Statement | ClauseElement, values: Values = _NOTHING) -> Row | None:
        """Run a statement that finds one row at the most. Raises ValueError where it finds more."""
        found = await self.fetch(statement, values)
        if not found:
            return None
        (row,) = found
        return row

    async def execute(self, statement: Statement | ClauseElement, values: Values = _NOTHING) -> int:
        """Run a statement; the number of rows that it has added, changed or removed."""
        ready = statement if isinstance(statement, Statement) else written_out(statement)
        arguments = ready.arguments(values)
        if not self._begun:
            await self._begin()
        status: str = await self._sent(self._borrowed.driver.execute, ready.text, *arguments)
        # PostgreSQL's own words: INSERT 0 1, UPDATE 1.
        return int(status.rpartition(" ")[2])

    async def close(self, failed: BaseException | None) -> None:
        """Commit, or roll back where the work has failed, and give the connection back.

        Raises RolledBack, and what the driver raises, where the commit fails or may have failed.
        """
        try:
            if not self._begun or self._alone:
                return
            if failed is None:
                await self._commit()
            elif self._broken is None:
                # Where it fails the connection is closed, which rolls back too, and the work's own error tells more.
                with suppress(Exception):
                    await self._sent(self._borrowed.driver.execute, "ROLLBACK")
        finally:
            self._give_back()

    async def _begin(self) -> None:
        if not self._alone:
            await self._sent(self._borrowed.driver.execute, "BEGIN")
        self._begun = True

    async def _commit(self) -> None:
        if await self._sent(self._borrowed.driver.execute, "COMMIT") != "COMMIT":
            raise RolledBack

    async def _sent(self, send: Callable[..., Awaitable[T]], text: str, *arguments: object) -> T:
        if self._broken is not None:
            raise asyncpg.InterfaceError("This unit of work has lost its connection.") from self._broken
        try:
            return await send(text, *arguments)
        except asyncpg.PostgresError as error:
            # PostgreSQL has answered, so that what state the connection is in is known, unless that was its farewell.
            if is_farewell(error):
                self._broken = error
            raise
        except BaseException as error:
            self._broken = error
            raise

    def _give_back(self) -> None:
        driver = self._borrowed.driver
        if self._broken is None and not driver.is_closed() and driver.is_in_transaction():
            self._broken = asyncpg.InterfaceError("The unit of work was not brought to its end.")
        self._borrowed.give_back(broken=self._broken)


def is_farewell(error: asyncpg.PostgresError) -> bool:
    """Whether the server closes the connection: class 08, and 57P01 to 57P05."""
    state = error.sqlstate
    return isinstance(state, str) and state.startswith(("08", "57P"))
