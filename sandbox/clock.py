"""The sandbox's own time: the machine's, moved forward by an offset that tests may advance."""

import time


class SandboxClock:
    """Unix time in seconds, plus an offset.

    The offset only grows. Lists are newest first by order of insertion, so a clock that ran backwards would make
    `created` disagree with the order of a list.
    """

    def __init__(self, offset_seconds: float = 0.0) -> None:
        self._offset_seconds = offset_seconds

    @property
    def offset_seconds(self) -> float:
        return self._offset_seconds

    def now(self) -> float:
        return self.wall_time() + self._offset_seconds

    def timestamp(self) -> int:
        """Whole seconds, the form in which every `created` is told."""
        return int(self.now())

    def wall_time(self) -> float:
        """The machine's time, for what others compare with their own clocks (webhook signatures)."""
        return time.time()

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("the sandbox's clock only moves forward")
        self._offset_seconds += seconds
