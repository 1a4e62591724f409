"""Connections to PostgreSQL: bounded, impatient, and never left idle inside a unit of work."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import asyncpg
import orjson
import structlog
from sqlalchemy import exc, make_url
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.errors import Unavailable
from persistence.connection import Connection, is_farewell
from persistence.pool import MovingPool, ask_idle_connections
from persistence.rows import Row
from persistence.statements import Statement, Values, to_json

log = structlog.get_logger(__name__)

_UNREACHABLE = "The database cannot be reached right now. Try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """How to reach the database. Timeouts are in seconds; the URL is kept out of every repr because it holds a password."""

    url: str = field(repr=False)
    pool_size: int = 10
    pool_timeout_seconds: float = 10.0
    connect_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 5.0
    lock_timeout_seconds: float = 5.0


def driver_url(url: str) -> str:
    """The URL as SQLAlchemy wants it, for asyncpg. Raises ValueError for anything that is no PostgreSQL URL."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ValueError("it is no database URL") from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError("it is no postgresql:// URL")
    return parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def open_engine(config: DatabaseConfig) -> AsyncEngine:
    """An engine whose pool never grows past its size: where no connection becomes free in time, a request is told so."""
    engine = create_async_engine(
        driver_url(config.url),
        poolclass=MovingPool,
        pool_size=config.pool_size,
        max_overflow=0,
        pool_timeout=config.pool_timeout_seconds,
        pool_use_lifo=True,
        json_serializer=to_json,
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": config.connect_timeout_seconds,
            "server_settings": {
                "application_name": "florin",
                "statement_timeout": _milliseconds(config.statement_timeout_seconds),
                "lock_timeout": _milliseconds(config.lock_timeout_seconds),
                "idle_in_transaction_session_timeout": "10000",
                # It is thought to end early where it does not: see OF_ONE_USER in `persistence.transaction_list`.
                "enable_incremental_sort": "off",
            },
        },
    )
    ask_idle_connections(engine.sync_engine)
    return engine


@asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Turn what SQLAlchemy and asyncpg raise for a missing, full or dying database into Unavailable."""
    try:
        yield
    except _RAISED as error:
        _tell_apart(error)


@asynccontextmanager
async def autocommitting(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for single statements: each commits by itself."""
    async with reachable(), engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


async def fetch(engine: AsyncEngine, statement: Statement, values: Values) -> Sequence[Row]:
    """Run a statement that only reads, by itself and past SQLAlchemy, on a connection of the engine's own pool.

    It takes the one round trip: there is nothing to begin, to commit or to reset. Raises Unavailable as `reachable` does.
    """
    arguments = statement.arguments(values)
    pool = _pool_of(engine)
    # Without `reachable`, which would take a tenth as long again as all the rest.
    try:
        borrowed = await pool.borrow()
        try:
            found: Sequence[Row] = await borrowed.driver.fetch(statement.text, *arguments)
        except asyncpg.PostgresError as error:
            # PostgreSQL has answered, so that the connection is as it was, unless that was its farewell.
            borrowed.give_back(broken=error if is_farewell(error) else None)
            raise
        except BaseException as error:
            borrowed.give_back(broken=error)
            raise
        borrowed.give_back()
    except _RAISED as error:
        _tell_apart(error)
    return found


@asynccontextmanager
async def working(engine: AsyncEngine, *, alone: bool = False) -> AsyncIterator[Connection]:
    """A connection for one unit of work: it commits in the end, or rolls back where the block raises.

    Where it is `alone`, each statement commits by itself. Raises Unavailable as `reachable` does.
    """
    async with reachable():
        connection = Connection(await _pool_of(engine).borrow(), alone=alone)
        try:
            yield connection
        except BaseException as error:
            await connection.close(error)
            raise
        await connection.close(None)


def _pool_of(engine: AsyncEngine) -> MovingPool:
    pool = engine.sync_engine.pool
    if not isinstance(pool, MovingPool):
        raise TypeError("This engine was not opened by open_engine.")
    return pool


# What SQLAlchemy's driver makes of asyncpg's errors. Whoever takes a connection from the pool itself gets to see them bare.
_Driver = AsyncAdapt_asyncpg_dbapi
_LOST = (
    *(exc.TimeoutError, exc.InterfaceError, exc.OperationalError, OSError, TimeoutError),
    *(_Driver.InterfaceError, _Driver.OperationalError, _Driver.InternalClientError),
    *(asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError),
    # A connection that is used while PostgreSQL's farewell is being read.
    asyncpg.InternalClientError,
)
_RAISED = (*_LOST, exc.DBAPIError, _Driver.Error, asyncpg.PostgresError)


def _tell_apart(raised: Exception) -> NoReturn:
    """Raise Unavailable where the database is not there, or somebody, or time, will mend what it said; else what was raised."""
    said = raised.orig if isinstance(raised, exc.DBAPIError) else raised
    if not isinstance(raised, _LOST) and not isinstance(said, _LOST):
        if _refuses_us(said):
            # It takes somebody to mend it, and they need to know more than those whose requests wait for it.
            log.warning("database.refuses_us", sqlstate=_sqlstate(said))
        elif not (_is_passing(said) or (isinstance(raised, exc.DBAPIError) and raised.connection_invalidated)):
            raise raised
    raise Unavailable(_UNREACHABLE) from raised


def _refuses_us(error: BaseException | None) -> bool:
    """Whether PostgreSQL does not let us in, or the database is not there (classes 28 and 3D), until somebody mends that."""
    return _sqlstate(error)[:2] in {"28", "3D"}


def _is_passing(error: BaseException | None) -> bool:
    """Whether PostgreSQL's SQLSTATE says that the same may work later (appendix A: classes 08, 40, 53, 55, 57)."""
    return _sqlstate(error)[:2] in {"08", "40", "53", "55", "57"}


def _sqlstate(error: BaseException | None) -> str:
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else ""


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
