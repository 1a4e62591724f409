"""Whether the database keeps what it has acknowledged when it crashes."""

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.engine import autocommitting

# PostgreSQL's manual, "Non-Durable Settings". Every other value of synchronous_commit waits until the commit is on this
# server's disk; they differ in what they wait for on standbys.
_SETTINGS = ("synchronous_commit", "fsync", "full_page_writes")
_OFF = text("SELECT name FROM pg_settings WHERE name IN :names AND setting = 'off'").bindparams(
    bindparam("names", _SETTINGS, expanding=True)
)


async def settings_off(engine: AsyncEngine) -> list[str]:
    """Those of the three settings that are off for this engine's own connections, whoever has turned them off.

    A role or a database may have settings of its own, which hold for its connections alone. Raises
    domain.errors.Unavailable.
    """
    async with autocommitting(engine) as connection:
        found = set((await connection.execute(_OFF)).scalars())
    return [name for name in _SETTINGS if name in found]
