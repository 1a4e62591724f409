"""What the commands of the command line have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from app.settings import DatabaseSettings, MigrationSettings, ProcessorSettings, Settings

V = TypeVar("V")
S = TypeVar("S", bound="DatabaseSettings | Settings")


class CommandFailed(Exception):
    """A command cannot go on; the message is for the person who typed it."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


# Each of these configures the log too, as the settings say, and raises CommandFailed. The library behind settings is slow to
# load, and most commands do without.


def all_settings() -> "Settings":
    """The settings of a command that needs all of them."""
    from app.settings import load_settings  # noqa: PLC0415  see above

    return _loaded(load_settings, lambda settings: settings.log_level)


def processor_settings(*, log_level: str | None = None) -> "ProcessorSettings":
    """The settings of a command that needs no secret of a server's; its log may be at another level."""
    from app.settings import load_processor_settings  # noqa: PLC0415  see above

    return _loaded(load_processor_settings, lambda settings: log_level or settings.log_level)


def database_settings() -> "DatabaseSettings":
    """The settings of a command that touches the database alone."""
    from app.settings import load_database_settings  # noqa: PLC0415  see above

    return _loaded(load_database_settings, lambda _: "INFO")


def migration_settings() -> "MigrationSettings":
    """The settings of `florin migrate`."""
    from app.settings import load_migration_settings  # noqa: PLC0415  see above

    return _loaded(load_migration_settings, lambda _: "INFO")


def read_everything(read: Callable[["AsyncEngine"], Awaitable[V]]) -> V:
    """What a read of the whole database comes to. It takes as long as it takes: nobody waits for a page of it."""
    from persistence.engine import open_engine  # noqa: PLC0415  see above

    config = replace(database_settings().database(), statement_timeout_seconds=0)

    async def go() -> V:
        engine = open_engine(config)
        try:
            return await read(engine)
        finally:
            await engine.dispose()

    return asyncio.run(go())


def _loaded(load: Callable[[], S], log_level: Callable[[S], str]) -> S:
    from app.log_lines import configure_logging  # noqa: PLC0415  see above
    from app.settings import InvalidSettings  # noqa: PLC0415  see above

    try:
        settings = load()
    except InvalidSettings as error:
        raise CommandFailed(str(error)) from error
    configure_logging(settings.log_format, log_level(settings))
    return settings
