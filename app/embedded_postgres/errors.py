"""What can go wrong with the embedded PostgreSQL. Each message says what to do about it."""


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used."""


class BinariesMissing(EmbeddedPostgresError):
    """PostgreSQL's programs are not installed, or not where its account can run them."""


class DataFolderInUse(EmbeddedPostgresError):
    """Another process works with the same data folder."""


class DataFolderUnusable(EmbeddedPostgresError):
    """The data folder has another owner, or was made by another version of PostgreSQL."""


class StartFailed(EmbeddedPostgresError):
    """PostgreSQL did not start; the message ends with its own last words."""
