"""A program on a leash ends when it is told to, and when whoever held the leash was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.processes.leashed import LeashedProcess
from tests.app.processes_seen import is_running, read_line, running_python, wait_until, wait_until_ended

SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
WITH_CHILD = (
    "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(os.getpid(), child.pid, flush=True); time.sleep(600)"
)
# A process that holds a leash until it is killed; the leashed program writes its process ids to our output.
OWNER = """
import sys, time
from app.processes.leashed import LeashedProcess
source, *rest = sys.argv[1:]
leashed = LeashedProcess(
    [sys.executable, "-c", source], env={}, output=sys.stdout.fileno(), remove_afterwards=rest[0] if rest else None
)
print("leash", leashed.process.pid, flush=True)
time.sleep(600)
"""


def leashed_python(source: str, *, grace_seconds: float = 30.0) -> LeashedProcess:
    return LeashedProcess([sys.executable, "-c", source], env={}, output=subprocess.PIPE, grace_seconds=grace_seconds)


def first_line(leashed: LeashedProcess) -> str:
    assert leashed.process.stdout is not None
    line: bytes = leashed.process.stdout.readline()
    return line.decode().strip()


def close_output(leashed: LeashedProcess) -> None:
    assert leashed.process.stdout is not None
    leashed.process.stdout.close()


def said_by(owner: subprocess.Popen[str]) -> tuple[int, list[int]]:
    """Return the leash's process id and those that its program printed, in whichever order they came."""
    lines = [read_line(owner), read_line(owner)]
    (leash,) = (int(line.split()[1]) for line in lines if line.startswith("leash"))
    (pids,) = ([int(pid) for pid in line.split()] for line in lines if not line.startswith("leash"))
    return leash, pids


@pytest.mark.parametrize(
    ("source", "code"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL)],
)
def test_the_exit_code_is_the_programs_own(source: str, code: int) -> None:
    leashed = leashed_python(source)
    with leashed.process:
        assert leashed.process.wait(30) == code
        assert leashed.poll() == code
        assert leashed.stop() == code


def test_a_program_that_does_not_exist_is_named() -> None:
    leashed = LeashedProcess(["/no/such/program"], env={}, output=subprocess.PIPE)
    said, _ = leashed.process.communicate(timeout=30)
    assert leashed.stop() == 127
    assert said == b"cannot run /no/such/program: No such file or directory\n"


def test_stop_sends_the_stop_signal_and_may_be_called_again() -> None:
    leashed = leashed_python(SLEEPER)
    pid = int(first_line(leashed))
    assert leashed.stop() == 128 + signal.SIGTERM
    assert leashed.stop() == 128 + signal.SIGTERM
    assert not is_running(pid)
    close_output(leashed)


def test_what_ignores_the_stop_signal_is_killed() -> None:
    leashed = leashed_python(STUBBORN, grace_seconds=0.05)
    pid = int(first_line(leashed))
    assert leashed.stop() == 128 + signal.SIGKILL
    assert not is_running(pid)
    close_output(leashed)


def test_what_the_program_started_ends_with_it() -> None:
    leashed = leashed_python(WITH_CHILD)
    program, child = (int(pid) for pid in first_line(leashed).split())
    leashed.stop()
    wait_until_ended(program, child)
    close_output(leashed)


def test_a_terminals_interrupt_does_not_reach_the_program() -> None:
    leashed = leashed_python(SLEEPER)
    pid = int(first_line(leashed))
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) == pid
    leashed.stop()
    close_output(leashed)


def test_killing_the_owner_ends_the_program_and_what_it_started() -> None:
    with running_python(OWNER, WITH_CHILD) as owner:
        _, pids = said_by(owner)
        assert all(is_running(pid) for pid in pids)
        owner.kill()
    wait_until_ended(*pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent has died")
def test_killing_the_leash_ends_the_program() -> None:
    with running_python(OWNER, SLEEPER) as owner:
        leash, pids = said_by(owner)
        os.kill(leash, signal.SIGKILL)
        wait_until_ended(*pids)


def test_a_throwaway_folder_goes_when_the_owner_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "file").write_text("x")
    with running_python(OWNER, SLEEPER, str(folder)) as owner:
        said_by(owner)
        owner.kill()
    wait_until(lambda: not folder.exists(), "the removal of the folder")
