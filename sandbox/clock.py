"""The sandbox's own time: the machine's, moved forward by an offset that tests may advance, or standing still."""

import time


class SandboxClock:
    """Unix time in seconds.

    It never runs backwards, whatever the machine's clock does: lists are newest first by order of insertion, and are
    bounded by `created`, so the two must agree. `not_before` is the latest time that anybody was told.
    """

    def __init__(self, offset_seconds: float = 0.0, *, held_at: float | None = None, not_before: float = 0.0) -> None:
        self._offset_seconds = offset_seconds
        self._held_at = held_at
        self._latest = not_before

    @property
    def offset_seconds(self) -> float:
        """How far it is ahead of the machine's; while it stands still, how far it was when it was stopped."""
        return self._offset_seconds

    @property
    def held_at(self) -> float | None:
        """Where it stands still, or None while it runs."""
        return self._held_at

    def now(self) -> float:
        self._latest = max(self._latest, self._told())
        return self._latest

    def _told(self) -> float:
        return self.wall_time() + self._offset_seconds if self._held_at is None else self._held_at

    def timestamp(self) -> int:
        """Whole seconds, the form in which every `created` is told."""
        return int(self.now())

    def wall_time(self) -> float:
        """The machine's time, for what others compare with their own clocks (webhook signatures)."""
        return time.time()

    def advance(self, seconds: float) -> None:
        """By hand, also while it stands still. Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError("the sandbox's clock only moves forward")
        if self._held_at is None:
            self._offset_seconds += seconds
        else:
            self._held_at += seconds

    def hold(self) -> None:
        """Stand still, so that whatever happens next happens in the same second."""
        self._held_at = self.now()

    def release(self) -> None:
        """Go on from where it stood still."""
        if self._held_at is not None:
            self._offset_seconds = self._held_at - self.wall_time()
            self._held_at = None
