"""Ends what an earlier run left behind in a cluster's folder, when it was killed before it could clean up."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from app.embedded_postgres.errors import DataFolderInUse

_POLL_SECONDS = 0.02
_SHUTDOWN_SECONDS_MAX = 30.0
_KILL_SECONDS_MAX = 10.0


def stop_leftovers(cluster: Path) -> None:
    """End every PostgreSQL process that still works in `cluster`, then remove the pid file of a dead server.

    Call this while holding the data folder's lock, so that nobody can be working there by right. Raises
    DataFolderInUse when something cannot be ended.
    """
    if not cluster.exists():
        return
    # Only the server itself may be asked: in its helpers SIGINT means other things. When it is dead already, they
    # notice that by themselves.
    server = _pid_in_file(cluster)
    _end([pid for pid in _processes_in(cluster) if pid == server], signal.SIGINT)
    _wait_until_empty(cluster, _SHUTDOWN_SECONDS_MAX)
    _end(_processes_in(cluster), signal.SIGKILL)
    _wait_until_empty(cluster, _KILL_SECONDS_MAX)
    if remaining := _processes_in(cluster):
        raise DataFolderInUse(f"processes {remaining} are using {cluster} and cannot be ended; end them and try again")
    if sys.platform == "linux":
        # With nobody in the folder the pid in this file can only be somebody else's by now, and PostgreSQL would
        # refuse to start because of it. Elsewhere we cannot be as sure, and PostgreSQL's own check decides.
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _end(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait_until_empty(cluster: Path, seconds_max: float) -> None:
    deadline = time.monotonic() + seconds_max
    while _processes_in(cluster) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _processes_in(cluster: Path) -> list[int]:
    """Return the server and its backends: each has the cluster as its working directory, and no other program does."""
    if sys.platform != "linux":
        return _server_by_pid_file(cluster)
    folder = str(cluster.resolve())
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # A process that has ended, or that belongs to somebody else, cannot be looked into.
        with contextlib.suppress(OSError):
            if str((process / "cwd").readlink()) == folder and (process / "exe").readlink().name.startswith("postgres"):
                found.append(int(process.name))
    return found


def _server_by_pid_file(cluster: Path) -> list[int]:
    """Where there is no /proc: trust the pid file only if that process was started with this cluster's path."""
    pid = _pid_in_file(cluster)
    if pid is None:
        return []
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return [pid] if str(cluster) in shown.stdout else []


def _pid_in_file(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None
