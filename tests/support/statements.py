"""What is sent to the database, by SQLAlchemy and past it."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.watched_driver import WatchedDriver, watching

_AROUND_STATEMENTS = {"BEGIN", "COMMIT", "ROLLBACK"}

_Note: TypeAlias = Callable[[str, Sequence[Any]], None]  # Any: arguments are of every type


class _Recorded(WatchedDriver):
    """A connection with a note of all that is sent on it."""

    def __init__(self, driver: Any, note: _Note) -> None:  # Any: asyncpg is not typed
        super().__init__(driver)
        self._note = note

    async def _sent(self, send: Callable[..., Awaitable[Any]], text: str, arguments: Sequence[object]) -> Any:
        self._note(text, arguments)
        return await super()._sent(send, text, arguments)


@contextmanager
def _noting(engine: AsyncEngine, note: _Note) -> Iterator[None]:
    def before(_c: Any, _cursor: Any, statement: str, arguments: Any, *_: Any) -> None:  # Any: SQLAlchemy's own
        note(statement, arguments)

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    try:
        with watching(engine, lambda driver: _Recorded(driver, note)):
            yield
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", before)


@contextmanager
def counted(engine: AsyncEngine) -> Iterator[list[str]]:
    """The statements that the engine sends to the database while the block runs."""
    statements: list[str] = []
    with _noting(engine, lambda text, _: None if text in _AROUND_STATEMENTS else statements.append(text)):
        yield statements


@contextmanager
def round_trips(engine: AsyncEngine) -> Iterator[list[str]]:
    """What the engine waits for the database for: the statements, and the beginning and the commit of each unit of work."""
    sent: list[str] = []

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            sent.append("BEGIN")

    def commit(_: Connection) -> None:
        sent.append("COMMIT")

    event.listen(engine.sync_engine, "begin", begin)
    event.listen(engine.sync_engine, "commit", commit)
    try:
        with _noting(engine, lambda text, _: sent.append(text)):
            yield sent
    finally:
        event.remove(engine.sync_engine, "begin", begin)
        event.remove(engine.sync_engine, "commit", commit)


@contextmanager
def asked(engine: AsyncEngine) -> Iterator[list[tuple[str, Sequence[Any]]]]:  # Any: arguments are of every type
    """The same with their arguments."""
    statements: list[tuple[str, Sequence[Any]]] = []

    def note(text: str, arguments: Sequence[Any]) -> None:  # Any: as above
        if text not in _AROUND_STATEMENTS:
            statements.append((text, arguments))

    with _noting(engine, note):
        yield statements
