"""A PostgreSQL of our own, for `florin dev` and for tests; production brings its own server."""

from app.embedded_postgres.errors import (
    BinariesMissing,
    DataFolderInUse,
    DataFolderUnusable,
    EmbeddedPostgresError,
    StartFailed,
)
from app.embedded_postgres.server import APP_ROLE, EmbeddedPostgres

__all__ = [
    "APP_ROLE",
    "BinariesMissing",
    "DataFolderInUse",
    "DataFolderUnusable",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "StartFailed",
]
