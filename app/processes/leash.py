"""A leash: runs one program for as long as the process that asked for it lives.

The process that holds the other end of the lifeline (a pipe to which nothing is ever written) may end in any way,
`kill -9` included: the kernel then closes the pipe, the leash reads end-of-file, and it stops its program. Closing the
pipe on purpose is how a program is stopped in the ordinary case too, so there is one mechanism and it is always in use.

This file is executed by path, with `python -I -S`, so that it starts in a few milliseconds; it imports little for that
reason, and nothing of Florin.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

# Linux, linux/prctl.h: the signal that a process gets when the thread that made it ends.
_PR_SET_PDEATHSIG = 1
_NOTHING = "-"

# Sent to a leash, this kills its program's whole process group without more patience. Other signals are passed on.
KILL_NOW = signal.SIGUSR1


def command(
    argv: Sequence[str],
    *,
    lifeline: int,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace_seconds: float = 10.0,
    run_as: tuple[int, int] | None = None,
    remove_afterwards: str | None = None,
) -> list[str]:
    """Return the argument list that runs `argv` on a leash.

    `lifeline` is the number of the pipe's reading end, which must be passed on to the leash. When the pipe closes, the
    program gets `stop_signal`, and after `grace_seconds` its process group is killed. `run_as` is the uid and gid to
    drop to; `remove_afterwards` a folder that nobody keeps, to be deleted once the pipe is closed and the program has ended.
    """
    return [
        *(sys.executable, "-I", "-S", __file__, str(lifeline), str(int(stop_signal)), str(grace_seconds)),
        f"{run_as[0]}:{run_as[1]}" if run_as else _NOTHING,
        remove_afterwards or _NOTHING,
        *argv,
    ]


def main(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code; 128 plus the signal's number when a signal ended it, as shells do."""
    lifeline_fd, stop_signal, grace_seconds, run_as, remove_afterwards, *argv = arguments
    lifeline = int(lifeline_fd)
    # The program must not hold the lifeline's reading end: a stray copy would do no harm today, but it is not its own.
    os.set_inheritable(lifeline, False)
    leash = os.getpid()
    target = os.fork()
    if target == 0:
        _become(argv, run_as, int(stop_signal), leash)
    for forwarded in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(forwarded, lambda number, _frame: _send(os.kill, target, number))
    signal.signal(KILL_NOW, lambda _number, _frame: _send(os.killpg, target, signal.SIGKILL))
    cut = threading.Event()
    threading.Thread(
        target=_stop_when_cut, args=(lifeline, cut, target, int(stop_signal), float(grace_seconds)), daemon=True
    ).start()
    _, status = os.waitpid(target, 0)
    # Whatever the program itself started and left in its group has lost its purpose.
    _send(os.killpg, target, signal.SIGKILL)
    if cut.is_set() and remove_afterwards != _NOTHING:
        _remove(remove_afterwards)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(argv: Sequence[str], run_as: str, stop_signal: int, leash: int) -> None:
    """Turn the forked child into the program: own process group, ordinary account, dies with the leash."""
    try:
        os.setpgid(0, 0)
        if run_as != _NOTHING:
            uid, gid = (int(part) for part in run_as.split(":"))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # Python ignores these two and an ignored signal stays ignored in the program that is executed.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if sys.platform == "linux":
            # After the change of account, because that change clears the setting (prctl(2)).
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
        if os.getppid() == leash:
            os.execvp(argv[0], list(argv))  # noqa: S606 - an argument list, and no shell is wanted.
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _stop_when_cut(lifeline: int, cut: threading.Event, target: int, stop_signal: int, grace_seconds: float) -> None:
    while os.read(lifeline, 1):
        pass
    cut.set()
    _send(os.kill, target, stop_signal)
    # The main thread ends this process as soon as the program has ended, and this thread with it.
    time.sleep(grace_seconds)
    _send(os.killpg, target, signal.SIGKILL)


def _send(send: Callable[[int, int], None], target: int, number: int) -> None:
    # macOS answers EPERM, not ESRCH, for a group that holds nothing but zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(target, number)


def _remove(folder: str) -> None:
    import shutil  # noqa: PLC0415 - few leashes need it, and all would start later because of it.

    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        # A process that was orphaned by SIGKILL may still be writing here for a moment.
        time.sleep(0.1)


if __name__ == "__main__":
    # Not sys.exit: the thread above must not be waited for.
    os._exit(main(sys.argv[1:]))
