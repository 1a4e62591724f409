"""Programs that are measured: started on a leash, and asked how much CPU time and memory they have used."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.processes.leashed import LeashedProcess
from app.processes.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".benchmarks"
HOST = "127.0.0.1"

_START_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.05


class NotStarted(Exception):
    """A program ended before it answered, or took too long; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A program that runs: where it answers, and the process under which all of its processes are."""

    name: str
    url: str
    pid: int

    def cpu(self) -> float:
        """The CPU time of all of its processes so far, in seconds."""
        return cpu_of(self.pid)

    def memory(self) -> int:
        """The resident memory of all of its processes, in bytes; what they share counts once for each."""
        return sum(_resident(pid) for pid in descendants(self.pid))


@contextmanager
def running(
    name: str, argv: Sequence[str], env: Mapping[str, str], *, ready: str, port: int | None = None
) -> Iterator[Running]:
    """Run a program until the end of the block. It finds its port in PORT, and answers at `ready` once it is up.

    Its output goes to a file, as a production server's would, and not through us.
    """
    port = port or free_port(HOST)
    log = RESULTS / "logs" / f"{name.replace(' ', '-').replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = LeashedProcess(argv, env={**os.environ, **env, "PORT": str(port)}, output=output)
    try:
        url = f"http://{HOST}:{port}"
        _until_ready(name, f"{url}{ready}", process, log)
        yield Running(name, url, process.process.pid)
    finally:
        process.stop()


def _until_ready(name: str, url: str, process: LeashedProcess, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    # Proxies that the environment names are not for addresses on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(url, timeout=2):
                return
        except urllib.error.HTTPError as refusal:
            # One that does not take what a browser would send is up too.
            if refusal.code < 500:
                return
            time.sleep(_POLL_SECONDS)
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise NotStarted(f"{name} does not answer; its log ends so:\n{log.read_text(errors='replace')[-3000:]}")


def descendants(pid: int) -> set[int]:
    """A process and all that came of it."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            # The program's name stands in brackets and may hold anything.
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def cpu_of(pid: int) -> float:
    """The CPU time of a process and all that came of it, in seconds.

    To the nanosecond for those that run; those that have ended are in what their parents waited for, by the kernel's ticks.
    """
    return sum(_cpu(each) + _cpu_of_the_ended(each) for each in descendants(pid))


def _cpu(pid: int) -> float:
    try:
        # clock_getcpuclockid(3): how Linux numbers the clock of another process.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _cpu_of_the_ended(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # proc(5): cutime and cstime, of which the state is the third.
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def processor_name() -> str:
    """The model of the machine's processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "an unknown processor"


def version_of(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
