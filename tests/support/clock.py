"""Time and ids that a test sets: they tell the same on every run."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


class SequentialIds:
    """UUIDs of version 7 that count up, so that each sorts after those made before it."""

    def __init__(self, *, after: int = 0) -> None:
        self._count = after

    def new(self) -> UUID:
        self._count += 1
        return UUID(int=(self._count << 80) | (0x7 << 76) | (0b10 << 62) | self._count)
