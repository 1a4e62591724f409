"""A PostgreSQL of our own, for `florin dev` and for tests; production brings its own server."""

from app.embedded_postgres.errors import (
    BinariesMissing,
    DataFolderInUse,
    DataFolderUnusable,
    EmbeddedPostgresError,
    StartFailed,
)
from app.embedded_postgres.server import EmbeddedPostgres

__all__ = [
    "BinariesMissing",
    "DataFolderInUse",
    "DataFolderUnusable",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "StartFailed",
]
