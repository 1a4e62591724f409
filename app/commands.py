"""What the commands of the command line have in common."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from app.settings import DatabaseSettings, MigrationSettings, Settings

S = TypeVar("S", bound="DatabaseSettings")


class CommandFailed(Exception):
    """A command cannot go on; the message is for the person who typed it."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def all_settings(*, log_level: str | None = None) -> "Settings":
    """The settings of a command that needs all of them, and its log as they say, or at another level.

    Raises CommandFailed.
    """
    from app.log_lines import configure_logging  # noqa: PLC0415  slow to load, and most commands do without
    from app.settings import InvalidSettings, load_settings  # noqa: PLC0415  as above

    try:
        settings = load_settings()
    except InvalidSettings as error:
        raise CommandFailed(str(error)) from error
    configure_logging(settings.log_format, log_level or settings.log_level)
    return settings


def database_settings() -> "DatabaseSettings":
    """The settings of a command that touches the database alone, and its log as they say. Raises CommandFailed."""
    from app.settings import load_database_settings  # noqa: PLC0415  slow to load, and most commands do without

    return _loaded(load_database_settings)


def migration_settings() -> "MigrationSettings":
    """The same for `florin migrate`."""
    from app.settings import load_migration_settings  # noqa: PLC0415  as above

    return _loaded(load_migration_settings)


def _loaded(load: Callable[[], S]) -> S:
    from app.log_lines import configure_logging  # noqa: PLC0415  as above
    from app.settings import InvalidSettings  # noqa: PLC0415  as above

    try:
        settings = load()
    except InvalidSettings as error:
        raise CommandFailed(str(error)) from error
    configure_logging(settings.log_format, "INFO")
    return settings
