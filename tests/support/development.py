"""A real `florin dev`, as a process of its own: started, asked, stopped, and seen to leave nothing behind."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import httpx2
import pytest

from tests.app.processes_seen import wait_until_ended
from tests.support.commands import FLORIN
from tests.support.postgres import throwaway_folder

# Started on a machine that is busy with other tests, all of it may take many times as long as it does alone.
_SECONDS_MAX = 120.0
_PROGRAMS = {
    "serve": "main() serve",
    "worker": "main() worker",
    "sandbox": "main() sandbox",
    "postgres": "postgres -D ",
}


class Ready(TypedDict):
    """What the ready file holds."""

    graphql_url: str
    webhook_url: str
    processor_url: str
    processor_key: str
    database_url: str
    migration_database_url: str
    tokens: dict[str, str]
    mail_folder: str


class Development:
    """A `florin dev` on a data folder. It leads a process group, as a program does that a terminal runs in its foreground."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.ready_file = data.with_name(f"{data.name}-{secrets.token_hex(4)}.json")
        self._output = self.ready_file.with_suffix(".out")
        self._ready: Ready | None = None
        command = [FLORIN, "dev", "--port", "0", "--data", str(data), "--ready-file", str(self.ready_file), *arguments]
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What it printed so far, errors included."""
        return self._output.read_text()

    @property
    def ready(self) -> Ready:
        """The ready file's content, once it is there."""
        if self._ready is None:
            self.wait_until(lambda: self.ready_file.exists() or self._process.poll() is not None, "it to be up")
            assert self.ready_file.exists(), f"florin dev ended ({self._process.returncode}):\n{self.output}"
            self._ready = json.loads(self.ready_file.read_text())
        return self._ready

    def wait_for_output(self, text: str) -> None:
        """Return once it has printed `text`."""
        self.wait_until(lambda: text in self.output, f"it to print {text!r}")

    def processes(self) -> set[int]:
        """The ids of its processes: its own, and those of all that it started."""
        shown = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = [tuple(int(number) for number in line.split()) for line in shown.splitlines()]
        found: set[int] = set()
        coming = {self._process.pid}
        while coming:
            found |= coming
            coming = {pid for pid, parent in parents if parent in found} - found
        return found

    def kill_program(self, name: str) -> None:
        """Send SIGKILL to one of the programs that it runs: "serve", "worker", "sandbox" or "postgres"."""
        shown = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        ours = self.processes()
        for line in shown.splitlines():
            pid, _, command = line.strip().partition(" ")
            if int(pid) in ours and "leash.py" not in command and _PROGRAMS[name] in command:
                os.kill(int(pid), signal.SIGKILL)
                wait_until_ended(int(pid))
                return
        raise AssertionError(f"no {name} is running:\n{shown}")

    def interrupt(self) -> int:
        """Do what a terminal does on Ctrl-C, and return the exit code."""
        return self._end(lambda: os.killpg(self._process.pid, signal.SIGINT))

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        return self._end(self._process.terminate)

    def kill(self) -> int:
        """Send SIGKILL, which it cannot notice, and return the exit code."""
        return self._end(self._process.kill)

    def ask(self, who: str, query: str, variables: Mapping[str, object] | None = None) -> Any:
        """The data that a query answers with. It has the query's shape, hence Any."""
        response = httpx2.post(
            self.ready["graphql_url"],
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {self.ready['tokens'][who]}"},
            timeout=60,
            trust_env=False,
        )
        answer = response.json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once the condition holds; it is asked for again and again, and may not hold for some time."""
        deadline = time.monotonic() + _SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; it printed:\n{self.output}"
            time.sleep(0.05)

    def _end(self, how: Callable[[], object]) -> int:
        """End it and return the exit code once none of its processes is left."""
        belonging = self.processes()
        how()
        code = self._process.wait(_SECONDS_MAX)
        wait_until_ended(*belonging)
        return code


@contextmanager
def development(data: Path, *arguments: str) -> Iterator[Development]:
    """Run `florin dev` on free ports until the block ends, where it is killed if it is still there."""
    running = Development(data, *arguments)
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def data_folder() -> Iterator[Path]:
    """A new folder whose files may be anywhere that root's database account can reach."""
    parent = throwaway_folder()
    try:
        yield parent / "data"
    finally:
        shutil.rmtree(parent)


@pytest.fixture(scope="session")
def florin_dev() -> Iterator[Development]:
    """One `florin dev` without demo data for all tests of a worker: it takes seconds to start.

    Under xdist, tests that ask for it belong to the group `florin_dev`, so that one worker runs them all.
    """
    with data_folder() as data, development(data, "--no-demo") as running:
        yield running
        assert running.terminate() == 0, running.output
        assert not running.ready_file.exists()
