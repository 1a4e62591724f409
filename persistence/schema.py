"""The database's schema: bring it to the newest version, and tell whether it is there."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from persistence.engine import reachable
from persistence.roles import ApplicationRole, grant

# Any number will do, as long as every process that migrates takes the same one.
_MIGRATION_LOCK = 5_171_402_883_614
_PAUSE_SECONDS = 0.2


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The newest revision that this code knows."""
    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    return script.get_current_head() or ""


async def migrate(
    engine: AsyncEngine, on_step: Callable[[str], None] = lambda _: None, *, application: ApplicationRole | None = None
) -> None:
    """Bring the schema to the head, one process at a time, each revision in a unit of work of its own.

    `on_step` is told the name of each revision before it runs. In the end the `application` gets its rights; raises
    RoleMissing or PasswordUnusable where it cannot.
    """

    def upgrade(connection: Connection) -> None:
        # Building an index on a large table takes longer than any request may.
        connection.execute(text("SET statement_timeout = 0"))
        connection.commit()
        _take_turn(connection)
        try:
            config = _config(connection)
            script = ScriptDirectory.from_config(config)
            before = MigrationContext.configure(connection).get_current_heads()
            connection.commit()
            for revision in reversed(list(script.iterate_revisions("head", before or "base"))):
                on_step(f"{revision.revision} {revision.doc}")
                command.upgrade(config, revision.revision)
                connection.commit()
            if application is not None:
                grant(connection, application)
                connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _MIGRATION_LOCK})
            # The connection goes back to the pool, where requests take it.
            connection.execute(text("RESET statement_timeout"))
            connection.commit()

    async with reachable(), engine.connect() as connection:
        await connection.run_sync(upgrade)


def _take_turn(connection: Connection) -> None:
    """Wait until nobody else migrates, for as long as that takes.

    It is asked for again and again: whoever waits inside a statement holds a snapshot, and an index that is built concurrently
    waits for every snapshot to end.
    """
    while not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK}).scalar_one():
        connection.commit()
        await_only(asyncio.sleep(_PAUSE_SECONDS))
    connection.commit()


async def current_revision(engine: AsyncEngine) -> str | None:
    """The database's revision; None for an empty database. Raises domain.errors.Unavailable."""

    def read(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with reachable(), engine.connect() as connection:
        return await connection.run_sync(read)


async def pending_changes(engine: AsyncEngine) -> list[object]:
    """How the database differs from `tables.py`; empty when the migrations and the tables agree."""

    def compare(connection: Connection) -> list[object]:
        from alembic.autogenerate import compare_metadata  # noqa: PLC0415  only tests compare; it is slow to import

        from persistence.tables import metadata  # noqa: PLC0415  for the same reason

        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.connect() as connection:
        return await connection.run_sync(compare)
