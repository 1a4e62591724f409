"""The real clock and the real source of ids."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  this is the adapter behind the Clock port


class TimeOrderedIds:
    """UUIDs of version 7 (RFC 9562): they sort by time, so that new rows land at the end of every index."""

    def new(self) -> UUID:
        return uuid7()
