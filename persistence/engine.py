"""Connections to PostgreSQL: bounded, impatient, and never left idle inside a unit of work."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import orjson
import structlog
from sqlalchemy import Engine, event, exc, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from domain.errors import Unavailable
from persistence.pool import MovingPool

log = structlog.get_logger(__name__)

_IDLE_SINCE = "florin_idle_since"
_IDLE_SECONDS_MAX = 1.0


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
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": config.connect_timeout_seconds,
            "server_settings": {
                "application_name": "florin",
                "statement_timeout": _milliseconds(config.statement_timeout_seconds),
                "lock_timeout": _milliseconds(config.lock_timeout_seconds),
                "idle_in_transaction_session_timeout": "10000",
            },
        },
    )
    _test_idle_connections(engine.sync_engine)
    return engine


def _test_idle_connections(engine: Engine) -> None:
    """Ask a connection whether it is alive before it is used again, if it has been idle for a while.

    The pool's own `pool_pre_ping` asks each time, which costs every unit of work a round trip on a busy server.
    """

    @event.listens_for(engine, "checkin")
    def remember(_: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def test(connection: DBAPIConnection, record: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
        idle_since = record.info.get(_IDLE_SINCE)
        if idle_since is None or time.monotonic() - idle_since < _IDLE_SECONDS_MAX:
            return
        try:
            alive = engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            alive = False
        if not alive:
            # The pool opens another one in its place.
            raise exc.DisconnectionError("The connection was closed while it was idle.")


@asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Turn what SQLAlchemy and asyncpg raise for a missing, full or dying database into Unavailable."""
    try:
        yield
    except (exc.TimeoutError, exc.InterfaceError, exc.OperationalError, OSError, TimeoutError) as error:
        raise Unavailable("The database cannot be reached right now. Try again.") from error
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError) as error:
        raise Unavailable("The database cannot be reached right now. Try again.") from error
    except exc.DBAPIError as error:
        if _refuses_us(error):
            # It takes somebody to mend it, and they need to know more than those whose requests wait for it.
            log.warning("database.refuses_us", sqlstate=_sqlstate(error))
        elif not (error.connection_invalidated or _is_passing(error)):
            raise
        raise Unavailable("The database cannot be reached right now. Try again.") from error


@asynccontextmanager
async def autocommitting(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for single statements: each commits by itself."""
    async with reachable(), engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


def _refuses_us(error: exc.DBAPIError) -> bool:
    """Whether PostgreSQL does not let us in, or the database is not there (classes 28 and 3D), until somebody mends that."""
    return _sqlstate(error)[:2] in {"28", "3D"}


def _is_passing(error: exc.DBAPIError) -> bool:
    """Whether PostgreSQL's SQLSTATE says that the same may work later (appendix A: classes 08, 40, 53, 55, 57)."""
    return _sqlstate(error)[:2] in {"08", "40", "53", "55", "57"}


def _sqlstate(error: exc.DBAPIError) -> str:
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else ""


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
