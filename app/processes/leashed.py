"""The synchronous way to put a program on a leash; app/processes/supervisor.py is the asynchronous one."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from app.processes import leash


class LeashedProcess:
    """A program that ends when `stop` is called and, whatever happens to this process, never outlives it.

    It may be started in any thread: the leash watches a pipe that belongs to the whole process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: IO[bytes] | int,
        stdin: int = subprocess.DEVNULL,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10.0,
        run_as: tuple[int, int] | None = None,
        remove_afterwards: str | None = None,
    ) -> None:
        """Start `argv` in the root folder, which every account can reach; the rest is said at `leash.command`."""
        reading_end, self._lifeline = os.pipe()
        self._grace_seconds = grace_seconds
        self._lifeline_open = True
        try:
            self.process = subprocess.Popen(
                leash.command(
                    argv,
                    lifeline=reading_end,
                    stop_signal=stop_signal,
                    grace_seconds=grace_seconds,
                    run_as=run_as,
                    remove_afterwards=remove_afterwards,
                ),
                env=dict(env),
                cwd="/",
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(reading_end,),
                start_new_session=True,
            )
        except BaseException:
            self._cut()
            raise
        finally:
            os.close(reading_end)

    def poll(self) -> int | None:
        """Return the exit code once the program has ended: 128 plus the signal's number when a signal ended it."""
        return self.process.poll()

    def stop(self) -> int:
        """Stop the program, kill it when the grace is over, and return its exit code. May be called again."""
        self._cut()
        try:
            return self.process.wait(self._grace_seconds + 5.0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(leash.KILL_NOW)
            return self.process.wait()

    def _cut(self) -> None:
        if self._lifeline_open:
            self._lifeline_open = False
            os.close(self._lifeline)
