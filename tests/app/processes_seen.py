"""Looking at real processes from outside, and waiting for what happens to them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_SECONDS_MAX = 30.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fail with `what` was waited for when it does not in a long time."""
    deadline = time.monotonic() + _SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {_SECONDS_MAX:g} s in vain for: {what}")
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether the process is alive; one that only waits to be reaped by its new parent is not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(shown.stdout.strip()) and not shown.stdout.strip().startswith("Z")


def wait_until_ended(*pids: int) -> None:
    """Return once none of the processes is alive."""
    for pid in pids:
        wait_until(lambda pid=pid: not is_running(pid), f"the end of process {pid}")  # type: ignore[misc]  # mypy cannot infer a lambda with a default.


@contextmanager
def running_python(source: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `source` as a process of its own with its output piped, and kill it at the end of the block at the latest."""
    with subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    """Return the next line that the process prints; "" once it has closed its output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
